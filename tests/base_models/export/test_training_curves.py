import builtins

import pytest
from sklearn.exceptions import NotFittedError

from base_models import FrameDetector
from base_models.export.training_curves import plot_curves

HISTORY = [
    {"epoch": 1, "loss": 0.7, "validation_loss": 0.6, "validation_auc": 0.6},
    {"epoch": 2, "loss": 0.5, "validation_loss": 0.4, "validation_auc": 0.8},
    {"epoch": 3, "loss": 0.3, "validation_loss": 0.5, "validation_auc": 0.7},
]


def fitted(history):
    detector = FrameDetector("resnet18", view="frame")
    detector.classes_, detector.history_ = [0, 1], history
    return detector


def drawn(ax):
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


@pytest.fixture
def figure():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure  # of no window

    return Figure()


def test_curves_are_those_of_the_history(figure):
    ax = figure.subplots()
    assert plot_curves(fitted(HISTORY), ax) is ax
    lines = drawn(ax)
    assert lines["loss"] == [0.7, 0.5, 0.3]
    assert lines["loss, held-back groups"] == [0.6, 0.4, 0.5]
    right = next(other for other in figure.axes if other is not ax)
    assert drawn(right) == {"AUC, held-back groups": [0.6, 0.8, 0.7]}
    taken = [line for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    assert [list(line.get_xdata()) for line in taken] == [[2, 2]]
    assert len(ax.get_legend().get_texts()) == 3


def test_an_auc_of_pseudo_fakes_is_called_so(figure):
    history = [
        {"epoch": 1, "loss": 1.0, "validation_loss": 1.0, "validation_pseudo_auc": 0.9}
    ]
    plot_curves(fitted(history), figure.subplots())
    assert list(drawn(figure.axes[1])) == ["AUC, pseudo-fakes of held-back reals"]


def test_a_loss_alone_is_enough(figure):
    ax = plot_curves(fitted([{"epoch": 1, "loss": 1.0}]), figure.subplots())
    assert list(drawn(ax)) == ["loss"]
    assert len(figure.axes) == 1


def test_what_has_no_curves_says_why():
    with pytest.raises(ValueError, match="resnet18_frame has no curves.*train='head'"):
        plot_curves(fitted([]))
    with pytest.raises(NotFittedError):
        plot_curves(FrameDetector("resnet18"))


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"deepfake-ensemble\[report\].*history_"):
        plot_curves(fitted(HISTORY))
