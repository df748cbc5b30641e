"""What commands and reports say is of use to who reads it."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.cli import demo
from ensemble.cli.tables import show_demo
from ensemble.inspection.changes import CHANGES
from ensemble.plots import plot_stress
from ensemble.reporting.plots.stress import UNITS
from ensemble.scores import score_table


def perfect_scores(provenance):
    y = np.arange(40) % 2
    scores = 0.2 + 0.5 * y[:, None] + np.linspace(0, 0.2, 80).reshape(40, 2)
    return score_table(
        scores, np.arange(40).astype(str), ["flicker", "other"], label=y,
        group=np.arange(40) // 2, provenance=provenance,
    )  # fmt: skip


def warned_of_copies(table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare_strategies(table, strategies=["soft"], n_boot=10)
    return [str(w.message) for w in caught if "copy of the label" in str(w.message)]


@pytest.mark.slow
def test_our_own_out_of_fold_scores_are_no_copy_of_the_label():
    assert not warned_of_copies(perfect_scores({"out_of_fold": True}))
    (said,) = warned_of_copies(perfect_scores({}))
    assert "flicker" in said
    (said,) = warned_of_copies(
        perfect_scores({"out_of_fold": True, "prefit": ["other"]})
    )
    assert "other" in said
    assert "flicker" not in said


def test_every_change_of_a_stress_test_has_its_unit_in_the_plot():
    assert set(UNITS) == set(CHANGES)
    table = pd.concat(
        pd.DataFrame(
            {"change": change, "strength": strengths, "scorer": "a", "size": 0.1}
        )
        for change, strengths in CHANGES.items()
    )
    figure = plot_stress(table)
    assert [ax.get_xlabel() for ax in figure.axes] == list(UNITS.values())
    assert figure.get_supylabel() == "Mean drift of P(fake), 0 to 1"


def test_the_demo_says_that_few_people_show_little(tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(*given):
        raise Stopped

    monkeypatch.setattr(demo, "_forge", stop)
    for n_identities, n_notes in ((16, 1), (100, 0)):
        said = []
        with pytest.raises(Stopped):
            demo.run_demo(tmp_path, n_identities, say=said.append)
        assert sum("16 people are too few" in line for line in said) == n_notes


def test_the_demo_says_why_all_of_its_verdicts_are_unsure(capsys):
    table = pd.DataFrame(
        [["detector", 0.5, 0.4, 0.6, 0.7, 0.5], ["ensemble", 0.5, 0.4, 0.6, 0.7, 0.5]],
        ["net", "stacking"],
        ["kind", "auc", "auc_low", "auc_high", "log_loss", "accuracy"],
    )
    predictions = pd.DataFrame(
        {
            "path": ["a/b.mp4", "a/c.mp4"],
            "method": "none",
            "p_fake": 0.5,
            "verdict": "UNSURE",
            "doubts": "the model is not shown to beat chance",
            "right": False,
        }
    )
    columns = ["first", "second", "score_correlation", "disagreement", "double_fault"]
    model = Path("demo/model.dfe")
    result = demo.DemoResult(
        table, table, predictions, None, pd.DataFrame(columns=columns), {"all": 1.0},
        4, 2, model, model.parent / "clips", model.parent / "report.html",
    )  # fmt: skip
    reason = "All are UNSURE for one reason: the model is not shown to beat chance"
    show_demo(result)
    assert reason in capsys.readouterr().out
    predictions.loc[0, "verdict"] = "FAKE"
    show_demo(result)
    assert "for one reason" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_a_card_gives_a_reason_and_no_name_of_an_error():
    videos = [np.full((2, 8, 8, 3), shade, np.uint8) for shade in range(0, 160, 20)]
    bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    model = DeepfakeEnsemble([bright], "blending", combiner="logistic", verbose=False)
    model.fit(videos, [0] * 4 + [1] * 4, groups=[0, 0, 1, 1, 2, 2, 3, 3])
    assert model.card_.problem.startswith("cross-fitting needs two groups")
    assert "Error" not in model.card_.summary()
