"""Names in plots are drawn letter by letter, whatever they hold."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ensemble.reporting import plots
from ensemble.reporting.plain_text import in_plot, printable

NAMES = ["$a_$b", r"\frac{$", "_x", "<b>&[red]", "one\ntwo", "\udce9"]
Y = np.tile([0, 1], 20)
SCORES = pd.DataFrame(
    np.random.default_rng(0).random((40, len(NAMES) - 1)), columns=NAMES[:-1]
)
STRATEGIES = pd.DataFrame(
    {"kind": "strategy", "auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}, index=NAMES[:-1]
)
LINES = pd.DataFrame(
    {"axis": "method", "value": NAMES[:-1], "strategy": "$m_$", "auc": 0.9,
     "auc_low": 0.8, "auc_high": 1.0}
)  # fmt: skip
ADDS = pd.DataFrame(
    {"adds": 0.1, "adds_low": 0.0, "adds_high": 0.2, "shapley": 0.3}, index=NAMES[:-1]
)
STRESS = pd.DataFrame(
    {"change": "$c_$", "strength": 1.0, "scorer": NAMES[:-1], "size": 0.1}
)
DRAWN = {
    "roc": lambda ax: plots.plot_roc(Y, SCORES, ax=ax),
    "det": lambda ax: plots.plot_det(Y, SCORES, ax=ax),
    "reliability": lambda ax: plots.plot_reliability(Y, SCORES, ax=ax),
    "correlation": lambda ax: plots.plot_correlation(SCORES, ax=ax),
    "weights": lambda ax: plots.plot_weights(
        pd.DataFrame(0.5, index=NAMES[:-1], columns=["$s_$", "_t"]), ax=ax
    ),
    "contributions": lambda ax: plots.plot_contributions(ADDS, ax=ax),
    "strategies": lambda ax: plots.plot_strategies(STRATEGIES, ax=ax),
    "by_value": lambda ax: plots.plot_by_value(LINES, "method", ["$m_$"], ax=ax),
}


def _shown(figure):
    """Every text of a figure as it is drawn: with what mathematics would make of it."""
    figure.savefig(io.BytesIO(), format="svg")  # a formula that is none raises here
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    return [text._preprocess_math(text.get_text()) for text in texts]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", list(DRAWN))
def test_a_plot_shows_names_with_dollars_and_underscores_as_they_are(name):
    figure = Figure()
    DRAWN[name](figure.subplots())
    shown = _shown(figure)
    wanted = ["$m_$"] if name == "by_value" else []
    wanted += [printable(n) for n in NAMES[:-1]]
    for wanted_name in wanted:
        assert any(wanted_name in text for text, _ in shown), wanted_name
    assert not any(is_formula for _, is_formula in shown)


def test_the_plot_of_a_stress_test_does_too():
    shown = _shown(plots.plot_stress(STRESS))
    for wanted in ("$c_$", "$a_$b", "_x", r"one\ntwo"):
        assert any(wanted in text for text, _ in shown), wanted
    assert not any(is_formula for _, is_formula in shown)


def test_a_name_that_is_no_text_can_be_written():
    for name in NAMES:
        printable(name).encode("utf-8")
        assert "\n" not in in_plot(name)


def test_errors_of_members_that_err_apart_are_not_correlated():
    """Over both classes a score in the middle is too high for one, and too low."""
    draw = np.random.default_rng(0)
    y = np.arange(400) % 2
    scores = pd.DataFrame(draw.random((400, 2)), columns=["a", "b"])
    scores["c"] = scores["a"] + draw.normal(0, 0.01, 400)
    said = [text.get_text() for text in plots.plot_correlation(scores, y).texts]
    matrix = np.array(said, float).reshape(3, 3)
    assert abs(matrix[0, 1]) < 0.15
    assert matrix[0, 2] > 0.95
