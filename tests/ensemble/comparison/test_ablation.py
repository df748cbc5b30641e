import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ensemble.comparison import ablation
from ensemble.comparison.ablation import member_contributions
from ensemble.metrics import group_bootstrap_interval


def some_scores(n_members=4, n=120, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    skill = np.linspace(2, 0, n_members)
    odds = np.outer(2 * y - 1, skill) + draw.normal(0, 2, (n, n_members))
    names = [f"m{i}" for i in range(n_members)]
    return pd.DataFrame(1 / (1 + np.exp(-odds)), columns=names), y


def area(scores, y, some):
    if not some:
        return 0.5
    odds = np.log(scores[list(some)] / (1 - scores[list(some)]))
    return roc_auc_score(y, odds.mean(axis=1))


@pytest.mark.slow
def test_shapley_is_the_mean_over_all_orders_of_joining():
    scores, y = some_scores()
    expected = dict.fromkeys(scores, 0.0)
    orders = list(itertools.permutations(scores))
    for order in orders:
        for place, one in enumerate(order):
            ahead = area(scores, y, order[: place + 1]) - area(scores, y, order[:place])
            expected[one] += ahead / len(orders)
    table = member_contributions(scores, y)
    for name in scores:
        assert np.isclose(table.loc[name, "shapley"], expected[name])
    assert np.isclose(table["shapley"].sum(), area(scores, y, list(scores)) - 0.5)


def test_shapley_of_many_members_is_near_the_exact_one(monkeypatch):
    scores, y = some_scores()
    exact = member_contributions(scores, y)["shapley"]
    monkeypatch.setattr(ablation, "_ALL_COALITIONS", 3)
    drawn = member_contributions(scores, y)["shapley"]
    np.testing.assert_allclose(drawn, exact, atol=0.01)
    assert not np.array_equal(drawn, exact)
    assert np.isclose(drawn.sum(), exact.sum())


def test_what_a_member_adds_is_what_is_lost_without_it():
    scores, y = some_scores()
    table = member_contributions(scores, y, np.arange(120) // 3)
    for name in scores:
        row = table.loc[name]
        others = [other for other in scores if other != name]
        assert np.isclose(row["alone"], area(scores, y, [name]))
        assert np.isclose(row["without"], area(scores, y, others))
        assert np.isclose(row["adds"], area(scores, y, list(scores)) - row["without"])
        assert row["adds_low"] < row["adds"] < row["adds_high"]


@pytest.mark.slow
def test_interval_of_what_it_adds_is_that_of_the_bootstrap():
    scores, y = some_scores(n=400)
    groups = np.arange(400) // 2
    row = member_contributions(scores, y, groups).loc["m0"]
    drawn = group_bootstrap_interval(
        lambda y, s: (
            roc_auc_score(y, s.mean(axis=1)) - roc_auc_score(y, s[:, 1:].mean(axis=1))
        ),
        y,
        np.log(scores / (1 - scores)).to_numpy(),
        groups,
        n_boot=300,
        random_state=0,
    )
    width = drawn.high - drawn.low
    np.testing.assert_allclose(
        [row["adds_low"], row["adds_high"]], drawn[1:], atol=0.2 * width
    )


def test_every_coalition_is_judged_on_the_same_videos():
    scores, y = some_scores()
    gappy = scores.copy()
    gappy.iloc[:30, 1] = np.nan
    pd.testing.assert_frame_equal(
        member_contributions(gappy, y), member_contributions(scores[30:], y[30:])
    )


@pytest.mark.parametrize("n_members", [1, 2])
def test_one_member_has_all_the_worth(n_members):
    scores, y = some_scores(n_members)
    table = member_contributions(scores, y)
    assert np.isclose(table["shapley"].sum(), area(scores, y, list(scores)) - 0.5)
    if n_members == 1:
        assert table["without"].tolist() == [0.5]
