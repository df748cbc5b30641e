"""Comparisons of members on scales of their own, and of what will be new in use."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

from ensemble import compare_strategies
from ensemble.combiners import AutoCombiner, Combiner, Voting
from ensemble.combiners.registry import named_strategies
from ensemble.comparison.evaluation import shift_of, takes_shift
from ensemble.comparison.inputs import check_input
from ensemble.protocols import protocol_splits

N = 120
Y = np.arange(N) % 2
GROUPS = np.arange(N) // 4


def some_table(seed=0):
    """A member of P(fake), one of log-odds and one with heavy tails."""
    draw = np.random.default_rng(seed)
    signal = draw.normal(1.5 * (2 * Y - 1), 1.5, (3, N))
    tails = np.sign(signal[2]) * np.exp(np.abs(signal[2]) * 2)
    return pd.DataFrame({"p": expit(signal[0]), "logit": signal[1], "tail": tails})


def splits_of(n_folds=3):
    return protocol_splits("group-kfold", Y, GROUPS, pd.DataFrame(), n_folds, 1, 0)[0]


def compared(table, **settings):
    given = {"groups": GROUPS, "strategies": ["soft"], "n_folds": 3, "n_boot": 20}
    return compare_strategies(table, Y, **given | settings)


def test_members_are_judged_by_the_scale_of_their_training_rows():
    table = some_table()
    with pytest.warns(UserWarning, match=r"logit \(.*\): standardised; tail .*ranked"):
        found = compared(table)
    (panel,) = found.panels
    assert found.how["other scales"] == {"logit": "standardised", "tail": "ranked"}
    assert "(logit: standardised; tail: ranked)" in found.verdict
    for split in splits_of():
        learned, judged = table.iloc[split.train], table.iloc[split.test]
        scores = panel.scores.loc[split.test]
        mean, spread = learned["logit"].mean(), learned["logit"].std(ddof=0)
        expected = expit((judged["logit"] - mean) / spread)
        np.testing.assert_allclose(scores["logit"], expected)
        ordered = np.sort(learned["tail"])
        ranks = (np.arange(len(ordered)) + 0.5) / len(ordered)
        expected = np.interp(judged["tail"], ordered, ranks)
        np.testing.assert_allclose(scores["tail"], expected)
        np.testing.assert_array_equal(scores["p"], judged["p"])


def test_strategies_see_what_they_would_see_alone():
    table = some_table()
    with pytest.warns(UserWarning, match="outside 0 to 1"):
        found = compared(table, strategies=["stacking"])
    (panel,) = found.panels
    split = splits_of()[0]
    stacking = named_strategies()["stacking"]
    with pytest.warns(UserWarning, match="outside 0 to 1"):
        stacking.fit(table.iloc[split.train], Y[split.train], GROUPS[split.train])
    expected = stacking.fake_score(table.iloc[split.test])
    np.testing.assert_allclose(panel.scores.loc[split.test, "stacking"], expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:columns with values outside")
def test_log_odds_rank_as_their_probabilities():
    scores = some_table()[["p", "logit"]]
    as_p = scores.assign(logit=norm.cdf(scores["logit"]))
    both = compared(scores), compared(as_p)
    for key in ("auc", "average_precision"):
        aucs = [found.table.loc["logit", key] for found in both]
        assert aucs[0] == pytest.approx(aucs[1], abs=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:columns with values outside")
def test_every_named_strategy_takes_any_scale(tmp_path):
    slow = ("AutoCombiner", "bagging")  # they hand on what others take
    quick = {n: one for n, one in named_strategies().items() if n not in slow}
    found = compared(some_table(), strategies=quick, n_folds=2)
    assert set(quick) <= set(found.table.index)
    assert (found.table["coverage"] == 1).all()
    assert found.table["auc"].notna().all()
    found.to_html(tmp_path / "report.html")
    assert found.members_as_p_fake.stack().between(0, 1).all()


def test_a_value_that_training_rows_did_not_know_is_missing():
    table = some_table()[["p"]].assign(q=some_table(1)["p"])
    table.loc[5, "p"] = 1.5  # alone: P(fake) wherever it is judged
    with pytest.warns(UserWarning, match=r"p \(.* to 1.5\): standardised"):
        found = compared(table)
    scores = found.panels[0].scores
    assert np.isnan(scores.loc[5, "p"])
    assert scores.drop(index=5).notna().all(axis=None)


class Recorder(Combiner):
    """Keeps what it is fitted with."""

    calls = []  # noqa: RUF012

    def __init__(self, scale="detect", fake_label=None):
        self.scale = scale
        self.fake_label = fake_label

    def fit(self, X, y, groups=None, sample_weight=None, shift=None):
        self.calls.append((np.asarray(X), shift))
        return super().fit(X, y, groups, sample_weight)

    def _fit(self, rows):
        pass

    def _fake_score(self, scores):
        return scores.mean(axis=1)


METHOD = np.where(Y == 1, np.array(["swap", "lips", "talk"])[GROUPS % 3], "none")


def test_shift_comes_with_its_own_training_rows():
    table = some_table()[["p"]]
    Recorder.calls.clear()
    found = compared(table, strategies={"mine": Recorder()}, shift=METHOD)
    values = dict(zip(table["p"], METHOD, strict=True))
    assert len(Recorder.calls) == 3
    for learned, shift in Recorder.calls:
        told = [values[score] for score in learned[:, 0]]
        pairs = set(zip(told, shift, strict=True))
        assert len(pairs) == len(set(told)) == 4
    assert found.how["shift held out by"] == ["mine"]
    assert found.how["splits without shift"] == 0
    assert "mine held out values of shift" in found.verdict


@pytest.mark.slow
def test_shift_changes_what_takes_it_and_nothing_else():
    table = some_table()[["p"]].assign(q=some_table(1)["p"])
    mine = {
        "auto": AutoCombiner(["calibrated", "logistic"]),
        "median": Voting("median"),
    }
    plain, shifted = (
        compared(table, strategies=mine, shift=shift) for shift in (None, METHOD)
    )
    first, second = plain.panels[0].scores, shifted.panels[0].scores
    assert (first["auto"] != second["auto"]).any()
    rest = first.columns.drop("auto")
    pd.testing.assert_frame_equal(first[rest], second[rest])
    split = splits_of()[0]
    train = split.train
    auto = AutoCombiner(["calibrated", "logistic"])
    auto.fit(table.iloc[train], Y[train], GROUPS[train], shift=METHOD[train])
    expected = auto.fake_score(table.iloc[split.test])
    np.testing.assert_allclose(second.loc[split.test, "auto"], expected)


def test_shift_is_left_out_where_training_rows_have_one_value():
    two = np.where(METHOD == "talk", "swap", METHOD)
    found = compared(
        some_table()[["p"]],
        strategies={"mine": Recorder()},
        shift=two,
        metadata=pd.DataFrame({"method": np.where(Y, two, None)}),
        protocol="leave-method-out",
    )
    without, n_splits = found.how["splits without shift"], found.how["n_splits"]
    assert without == n_splits > 0
    assert f"not in {without} of {n_splits} splits" in found.verdict


def test_rows_without_scores_have_no_shift_to_hold_out():
    data = check_input(some_table()[["p"]], Y, GROUPS, shift=METHOD)
    split = splits_of()[0]
    learned = data.members.to_numpy()[split.train]
    assert shift_of(data, split, learned) is not None
    rare = np.isin(METHOD[split.train], ["swap", "lips"])
    assert shift_of(data, split, np.where(rare[:, None], np.nan, learned)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift": METHOD[:5]}, "one value per video"),
        ({"shift": METHOD, "strategies": ["median"]}, "none of .*median does"),
        ({"shift": np.where(Y, "fake", "real")}, "two values or more"),
        ({"shift": np.where(Y, METHOD, None)}, "have no value"),
    ],
)
def test_a_shift_that_says_nothing_is_refused(change, message):
    given = {"strategies": ["auto"]} | change
    with pytest.raises(ValueError, match=message):
        compared(some_table()[["p"]], **given)


def test_who_takes_shift():
    takes = {name for name, one in named_strategies().items() if takes_shift(one)}
    assert takes == {"AutoCombiner"}
