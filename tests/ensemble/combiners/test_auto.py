import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from ensemble.calibration import cross_fitted_scores
from ensemble.combiners import AutoCombiner, Stacking, Voting
from ensemble.scores import companions, read_scores

FEW = ("log_odds", "best_single", "calibrated", "logistic")


def make_scores(n=300, skill=(2.0, 2.0, 2.0), seed=0, slope=1.0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    log_odds = draw.normal(0, 1.2, (n, len(skill))) + np.outer(y - 0.5, skill)
    return expit(slope * log_odds), y


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@parametrize_with_checks([AutoCombiner()])
def test_keeps_the_sklearn_contract(estimator, check):
    check(estimator)


def test_losses_are_those_of_cross_fitted_scores():
    scores, y = make_scores()
    groups = np.arange(300) // 3
    combiner = AutoCombiner(FEW).fit(scores, y, groups=groups)
    assert combiner.table_.index.tolist() == list(FEW)
    for name, candidate in (("log_odds", Voting()), ("logistic", Stacking())):
        score = cross_fitted_scores(candidate, scores, y, groups)
        row = combiner.table_.loc[name]
        # rows are ordered otherwise inside, so the folds are others
        assert abs(row["log_loss"] - log_loss(y, score)) < 0.02
        assert abs(row["auc"] - roc_auc_score(y, score)) < 0.01


def test_candidates_of_one_ranking_have_one_auc():
    scores, y = make_scores()
    groups = np.arange(300) // 3
    table = AutoCombiner(["log_odds", "calibrated"]).fit(scores, y, groups).table_
    assert table.loc["log_odds", "auc"] == table.loc["calibrated", "auc"]
    assert table.loc["log_odds", "log_loss"] != table.loc["calibrated", "log_loss"]


@pytest.mark.parametrize("slack", [0.0, 1.0, 2.0])
def test_the_simplest_within_some_standard_errors_is_taken(slack):
    for seed in range(3):
        combiner = AutoCombiner(FEW, slack=slack).fit(*make_scores(seed=seed))
        table = combiner.table_
        assert np.isclose(table["behind"].min(), 0)
        within = table["behind"] <= slack * table["standard_error"] + 1e-9
        assert (table["good_enough"] == within).all()
        assert combiner.choice_ == table.index[within][0]
        assert combiner.reason_.startswith(combiner.choice_ + ": ")


def test_standard_errors_are_those_of_independent_groups():
    scores, y = make_scores(400, skill=(2.5, 0.5, 0.0))
    groups = np.arange(400) // 4
    combiner = AutoCombiner(["log_odds", "weighted"]).fit(scores, y, groups=groups)
    error = combiner.table_["standard_error"].max()
    behind = combiner.table_["behind"].max()
    voting, learned = (
        cross_fitted_scores(one, scores, y, groups)
        for one in (Voting(), Voting(weights="learned"))
    )
    right = np.where(y == 1, voting / learned, (1 - voting) / (1 - learned))
    by_group = np.bincount(groups, -np.log(right)) / 4
    expected = by_group.std() / np.sqrt(100)
    assert abs(behind - by_group.mean()) < expected
    assert 0.6 < error / expected < 1.6


@pytest.mark.slow
def test_well_made_scores_are_simply_averaged():
    scores, y = make_scores(2000, skill=(2.0, 2.0, 2.0))
    combiner = AutoCombiner().fit(scores[:600], y[:600])
    assert combiner.choice_ == "calibrated"
    assert combiner.tried_["combiner"][0] == "calibrated"
    plain = roc_auc_score(y[600:], Voting().fit(scores, y).fake_score(scores[600:]))
    ours = roc_auc_score(y[600:], combiner.fake_score(scores[600:]))
    assert abs(ours - plain) < 0.001
    alone = AutoCombiner(average=False).fit(scores[:600], y[:600])
    assert roc_auc_score(y[600:], alone.fake_score(scores[600:])) == plain


def test_the_choice_is_averaged_with_the_best_of_each_other_kind():
    scores, y = make_scores(300)
    candidates = ("calibrated", "soft", "weighted", "logistic", "dynamic")
    combiner = AutoCombiner(candidates).fit(scores, y)
    table = combiner.table_
    linear = table.loc[["weighted", "logistic"]].query("good_enough")["log_loss"]
    expected = [combiner.choice_, linear.idxmin()]
    expected += ["dynamic"] if table.loc["dynamic", "good_enough"] else []
    assert list(combiner.combiners_) == expected
    assert table.index[table["in_use"]].isin(expected).all()
    assert combiner.reason_.endswith("averaged with " + ", ".join(expected[1:]))
    inside = scores[:, combiner.detector_order_]
    mine = [one.fake_score(inside) for one in combiner.combiners_.values()]
    np.testing.assert_allclose(combiner.fake_score(scores), np.mean(mine, axis=0))
    assert list(AutoCombiner(candidates, average=False).fit(scores, y).combiners_) == [
        combiner.choice_
    ]


def test_what_is_worth_learning_is_learned():
    scores, y = make_scores(600, skill=(4.0, 0.0, 0.0))
    scores[:, 1] = 0.05 * scores[:, 1]  # says real to all
    combiner = AutoCombiner(FEW).fit(scores, y)
    assert combiner.choice_ == "logistic"
    assert "least log loss" in combiner.reason_
    np.testing.assert_array_equal(
        combiner.fake_score(scores),
        combiner.combiner_.fake_score(scores[:, combiner.detector_order_]),
    )
    assert combiner.weights_.argmax() == 0
    assert combiner.weights_.shape == (3,)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_no_worse_than_the_mean_and_the_best_single_detector(seed):
    draw = np.random.default_rng(seed)
    skill = draw.uniform(0, 4, 4)
    slope = draw.uniform(0.3, 3)
    scores, y = make_scores(300, skill, seed, slope)
    fresh, truth = make_scores(3000, skill, seed + 100, slope)
    combiner = AutoCombiner(FEW).fit(scores, y)
    ours = roc_auc_score(truth, combiner.fake_score(fresh))
    mean = roc_auc_score(truth, Voting().fit(scores, y).fake_score(fresh))
    single = max(roc_auc_score(truth, column) for column in fresh.T)
    assert ours > max(mean, single) - 0.01


def test_without_groups_to_try_on_the_simplest_is_taken():
    scores, y = make_scores(40)
    combiner = AutoCombiner().fit(scores, y, groups=y)
    assert combiner.choice_ == "calibrated"
    assert "nothing to try on" in combiner.reason_
    assert combiner.table_["log_loss"].isna().all()
    only = AutoCombiner(["soft"]).fit(scores, y)
    assert (only.choice_, only.reason_) == ("soft", "soft: the only candidate")


def test_candidates_may_be_objects_and_other_numbers_than_probabilities():
    scores, y = make_scores(120)
    combiner = AutoCombiner(
        {
            "rank": Voting("rank"),
            "standard": Stacking(scale="standard"),
            "mine": Stacking(LogisticRegression(), scale="standard"),
        }
    ).fit(100 * scores - 3, y)
    assert combiner.choice_ in ("standard", "mine")
    assert roc_auc_score(y, combiner.fake_score(100 * scores - 3)) > 0.8
    moved = combiner.contributions([[97.0] * 3, [-3.0] * 3])
    assert moved[0].min() > 0 > moved[1].max()


def test_jobs_do_not_change_the_answer():
    scores, y = make_scores(90)
    one, two = (AutoCombiner(FEW, n_jobs=n).fit(scores, y) for n in (1, 2))
    pd.testing.assert_frame_equal(one.table_, two.table_)
    np.testing.assert_array_equal(one.fake_score(scores), two.fake_score(scores))


def test_bad_candidates_are_refused():
    scores, y = make_scores(20)
    with pytest.raises(ValueError, match="list of names or a dict of combiners; got"):
        AutoCombiner("logistic").fit(scores, y)
    with pytest.raises(ValueError, match="got \\[\\]"):
        AutoCombiner([]).fit(scores, y)
    with pytest.raises(ValueError, match="did you mean 'logistic'"):
        AutoCombiner(["logistc"]).fit(scores, y)
    with pytest.raises(TypeError, match="an object with fit and predict_proba; got"):
        AutoCombiner({"a": LinearRegression()}).fit(scores, y)
    with pytest.raises(NotFittedError):
        _ = AutoCombiner().table_


def test_public_set_gets_the_calibrated_mean_and_its_rivals(shared):
    table = read_scores(shared / "data/scores/ffpp_4detectors.csv", scores="p_*")
    beside = companions(table)
    combiner = AutoCombiner().fit(table, beside.label, groups=beside.group)
    assert combiner.choice_ in ("calibrated", "logistic")
    assert combiner.table_.loc[combiner.choice_, "auc"] > 0.990  # within folds
    assert combiner.table_.loc[combiner.choice_, "log_loss"] < 0.0905
