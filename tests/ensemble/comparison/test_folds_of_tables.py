"""Which folds a comparison judges in, and where its scores come from."""

import numpy as np
import pandas as pd
import pytest
from made_scores import some_scores

from ensemble import compare_strategies
from ensemble.combiners import Voting
from ensemble.metrics import auc
from ensemble.scores import score_table


def folded_table(n_folds=4, seed=0):
    """Out-of-fold scores whose folds have each a scale of their own."""
    scores, y, groups, _ = some_scores(seed=seed)
    fold = groups % n_folds
    bent = scores ** (np.array([0.4, 1, 1.5, 3])[fold])[:, None]
    known = {"out_of_fold": True}
    plain, table = (
        score_table(
            s.to_numpy(), range(180), list("abc"), y, groups, fold + 1, provenance=known
        )
        for s in (scores, bent)
    )
    return plain, table, fold, y


def test_an_out_of_fold_table_is_judged_in_its_own_folds():
    plain, table, fold, y = folded_table()
    found = compare_strategies(table, strategies=["median"], n_boot=10)
    assert found.how["n_folds"] == 4
    assert found.how["folds of the table"]
    np.testing.assert_array_equal(found.panels[0].fold, fold)
    for name in "abc":
        expected = auc(y, plain[name], fold=fold)
        assert np.isclose(found.table.loc[name, "auc"], expected)
        assert np.isclose(found.ablation.loc[name, "alone"], expected)


@pytest.mark.slow
def test_other_folds_never_compare_videos_of_different_fits():
    plain, table, fold, _ = folded_table()
    for kwargs in ({"n_folds": 3}, {"repeats": 2, "n_folds": 4}):
        found = compare_strategies(table, strategies=["median"], n_boot=10, **kwargs)
        same = compare_strategies(plain, strategies=["median"], n_boot=10, **kwargs)
        for panel in found.panels:
            both = pd.DataFrame({"judged": panel.fold, "fitted": fold})
            assert (both.groupby("judged")["fitted"].nunique() == 1).all()
        np.testing.assert_allclose(
            found.table.loc[list("abc"), "auc"], same.table.loc[list("abc"), "auc"]
        )


class Folds(Voting):
    """Keeps the folds that lie beside what it learns from."""

    seen = []  # noqa: RUF012

    def fit(self, X, y, groups=None, sample_weight=None):
        self.seen.append(X.attrs.get("fold"))
        return super().fit(X, y, groups, sample_weight)


def test_strategies_learn_with_the_folds_that_an_ensemble_has():
    plain, table, fold, _ = folded_table()
    Folds.seen = []
    compare_strategies(table, strategies={"spy": Folds()}, n_boot=10)
    for number, known in enumerate(Folds.seen):
        assert list(known.values()) == fold[fold != number].tolist()
    Folds.seen = []
    compare_strategies(
        plain, strategies={"spy": Folds()}, n_boot=10, nesting="exact", n_folds=3
    )
    assert Folds.seen == [None] * 3


@pytest.mark.slow
def test_members_that_one_fit_has_scored_have_no_folds_of_their_own():
    _, table, fold, _ = folded_table()
    for kwargs in ({"nesting": "exact"}, {"n_folds": 3, "nesting": "exact"}):
        found = compare_strategies(table, strategies=["median"], n_boot=10, **kwargs)
        assert not found.how["folds of the table"]
        assert not np.array_equal(found.panels[0].fold, fold)


def test_folds_of_one_class_each_are_refused():
    scores, y, groups, _ = some_scores(90)
    table = score_table(
        scores.to_numpy(), range(90), list("abc"), y, groups, 2 * y + groups % 2
    )
    with pytest.raises(ValueError, match="folds has both a real and a fake"):
        compare_strategies(table, strategies=["median"], n_boot=10)


def test_members_fitted_beforehand_are_not_vouched_for():
    scores, y, groups, _ = some_scores(90)
    known = {"prefit": ["b"], "out_of_fold": True}
    table = score_table(scores, range(90), list("abc"), y, groups, provenance=known)
    found = compare_strategies(table, strategies=["median"], n_boot=10, n_folds=3)
    assert found.how["fitted beforehand"] == ["b"]
    assert "Fitted beforehand, on videos that are not known here: b." in found.verdict


@pytest.mark.slow
def test_a_table_says_what_its_scores_are():
    scores, y, groups, _ = some_scores()

    def nesting(provenance=None, **kwargs):
        table = score_table(
            scores, range(180), list("abc"), y, groups, provenance=provenance
        )
        found = compare_strategies(
            table, strategies=["median"], n_boot=10, n_folds=3, **kwargs
        )
        return found.how["nesting"], found.verdict

    assert nesting({"out_of_fold": True})[0] == "stored"
    assert "Approximate" in nesting({"out_of_fold": True})[1]
    kind, verdict = nesting()
    assert kind == "unstated"
    assert "Where the scores come from is not stated" in verdict
    assert nesting({"out_of_fold": False})[0] == "exact"
    prefit = {"out_of_fold": True, "prefit": ["a", "b", "c"]}
    kind, verdict = nesting(prefit)
    assert kind == "exact"
    assert "pproximate" not in verdict
    assert nesting({"out_of_fold": True}, nesting="exact")[0] == "exact"
