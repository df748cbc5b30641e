"""Figures of a page count videos, however often each was judged."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from ensemble import compare_strategies
from ensemble.reporting import plots
from ensemble.reporting.comparison_report import (
    spread_in_words,
    weighted_quartiles,
    write_report,
)


def judged_often(**kwargs):
    """40 reals, and 20 fakes of each of three methods."""
    rng = np.random.default_rng(0)
    groups = np.arange(100) // 5
    y = (np.arange(100) % 5 > 1).astype(int)
    method = np.array(["none", "none", "swap", "lips", "morph"])[np.arange(100) % 5]
    scores = pd.DataFrame(
        {name: 1 / (1 + np.exp(rng.normal(1 - 2 * y, 1.5))) for name in "ab"}
    )
    return compare_strategies(
        scores, y, groups, ["stacking"], pd.DataFrame({"method": method}),
        n_boot=20, **kwargs,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["leave-method-out", "repeats"])
def comparison(request):
    if request.param == "repeats":
        return judged_often(repeats=3)
    return judged_often(protocol=request.param)


@pytest.mark.slow
def test_a_page_counts_each_video_once_and_says_what_is_compared(comparison, tmp_path):
    page = write_report(comparison, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "40 real" in page
    assert "60 fake" in page
    assert not re.search(r"1[28]0 (real|fake)", page)
    assert "a fake is compared with the reals of its own fold alone" in page
    assert "100.0 % of the videos have such a rival" in page


def test_a_video_judged_often_weighs_as_much_as_one_judged_once():
    y, video = np.array([0, 0, 0, 0, 1]), ["a", "a", "a", "b", "c"]
    score = np.array([0.1, 0.1, 0.1, 0.9, 0.9])
    ax = plots.plot_score_distribution(y, score, n_bins=2, video=video)
    heights = [patch.get_data().values for patch in ax.patches]
    np.testing.assert_allclose(heights[0], [0.5, 0.5])
    np.testing.assert_allclose(heights[-1], [0, 1])
    plt.close("all")
    text = spread_in_words(y, score, video)
    assert text.startswith("reals: median 0.500")


def test_quartiles_of_equal_weights_are_those_of_the_values():
    values = np.random.default_rng(0).random(11)
    expected = np.quantile(values, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(weighted_quartiles(values, np.ones(11)), expected)


def test_a_bin_of_one_video_judged_often_is_not_drawn():
    y, scores = np.tile([0, 1], 10), pd.DataFrame({"a": np.tile([0.1, 0.9], 10)})
    many = plots.plot_reliability(y, scores)
    few = plots.plot_reliability(y, scores, video=np.tile([0, 1], 10))
    assert len(many.lines[0].get_xdata()) == 2
    assert len(few.lines[0].get_xdata()) == 0
    plt.close("all")


@pytest.mark.slow_after(1)
def test_the_area_below_a_drawn_curve_is_the_auc_of_the_table(comparison):
    common = [panel.common() for panel in comparison.panels]
    y = np.concatenate([panel.y for panel in common])
    panel = np.repeat(np.arange(len(common)), [len(one.y) for one in common])
    fold = np.concatenate([one.fold for one in common])
    for name in comparison.table.index:
        score = np.concatenate([one.scores[name] for one in common])
        fpr, tpr = plots.mean_curve(y, score, panel, fold)
        assert np.isclose(trapezoid(tpr, fpr), comparison.table.loc[name, "auc"])


@pytest.mark.slow
def test_coverage_counts_each_video_once(tmp_path):
    rng = np.random.default_rng(1)
    n = 100
    groups, y = np.arange(n) // 5, (np.arange(n) % 5 > 1).astype(int)
    method = np.array(["none", "none", "swap", "lips", "morph"])[np.arange(n) % 5]
    scores = pd.DataFrame(rng.random((n, 2)), columns=["a", "b"])
    scores.loc[[0, 1, 5, 6, 10], "a"] = np.nan  # five of the reals
    found = compare_strategies(
        scores, y, groups, [], pd.DataFrame({"method": method}), "leave-method-out",
        n_boot=5,
    )  # fmt: skip
    assert np.isclose(found.how["coverage"], 0.95)
    assert np.isclose(found.table.loc["a", "coverage"], 0.95)
    assert np.isclose(found.table.loc["b", "coverage"], 1)
    assert "on the 95.0% of the videos that everyone has scored" in found.verdict
    assert found.how["n_videos_judged"] == 95
    assert found.how["n_groups_judged"] == 20
    assert "(95 of 100 videos, 20 groups)" in found.verdict
    page = write_report(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<dt>Videos tested</dt><dd>95 of 100</dd>" in page
    assert "95 of 100 judged" in page
    assert "100 judged" not in page.replace("95 of 100 judged", "")
