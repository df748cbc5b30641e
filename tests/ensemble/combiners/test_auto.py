import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from ensemble.calibration import cross_fitted_scores
from ensemble.combiners import AutoCombiner, Stacking, Voting, resolve_combiner
from ensemble.combiners.parts.rows import Rows
from ensemble.combiners.super_learner.mixture import RIDGE, fit_mixture, mixed
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


@pytest.mark.slow
def test_losses_are_those_of_calibrated_cross_fitted_scores():
    scores, y = make_scores(1200)
    groups = np.arange(1200) // 3
    combiner = AutoCombiner(FEW).fit(scores, y, groups=groups)
    assert combiner.table_.index.tolist() == list(FEW)
    for name, candidate in (("log_odds", Voting()), ("logistic", Stacking())):
        score = cross_fitted_scores(candidate, scores, y, groups)
        log_odds = logit(score)[:, None]
        line = LogisticRegression(C=np.inf).fit(log_odds, y)
        row = combiner.table_.loc[name]
        # rows are ordered otherwise inside, so the folds are others
        assert abs(row["log_loss"] - log_loss(y, line.predict_proba(log_odds))) < 0.01
        assert abs(row["auc"] - roc_auc_score(y, score)) < 0.01


def test_candidates_of_one_ranking_have_one_auc():
    scores, y = make_scores()
    groups = np.arange(300) // 3
    table = AutoCombiner(["log_odds", "calibrated"]).fit(scores, y, groups).table_
    assert table.loc["log_odds", "auc"] == table.loc["calibrated", "auc"]
    # calibrated, they differ by their folds' own calibrations alone
    assert abs(table["log_loss"].diff().iloc[1]) < 1e-3


def test_standard_errors_are_those_of_independent_groups():
    scores, y = make_scores(400, skill=(2.5, 0.5, 0.0))
    groups = np.arange(400) // 4
    table = AutoCombiner(["log_odds", "best_single"]).fit(scores, y, groups).table_
    voting, single = (
        cross_fitted_scores(resolve_combiner(one), scores, y, groups)
        for one in ("log_odds", "best_single")
    )
    losses = []
    for score in (voting, single):
        log_odds = logit(score)[:, None]
        line = LogisticRegression(C=np.inf).fit(log_odds, y)
        right = line.predict_proba(log_odds)[np.arange(400), y]
        losses.append(-np.log(right))
    by_group = np.bincount(groups, losses[0] - losses[1]) / 4
    expected = by_group.std() / np.sqrt(100)
    assert abs(table["behind"].max() - abs(by_group.mean())) < expected
    assert 0.8 < table["standard_error"].max() / expected < 1.25


def test_the_score_is_the_weighted_mean_of_calibrated_log_odds():
    scores, y = make_scores(300)
    combiner = AutoCombiner(FEW).fit(scores, y)
    mixture, inside = combiner.mixture_, scores[:, combiner.detector_order_]
    total = 0.0
    for place, one in enumerate(combiner.combiners_.values()):
        straight = mixture["slope"][place] * logit(one.fake_score(inside))
        straight += mixture["intercept"][place]
        highest = mixture["highest"][(straight > 0).astype(int)]
        flat = straight / np.sqrt(1 + (straight / highest) ** 2)
        total = total + mixture["weight"][place] * flat
    np.testing.assert_allclose(combiner.fake_score(scores), expit(total), atol=1e-12)
    weights = combiner.candidate_weights_
    assert list(weights) == list(FEW)
    assert np.isclose(sum(weights.values()), 1)
    assert list(combiner.combiners_) == sorted(
        (name for name in FEW if weights[name] > 0), key=lambda name: -weights[name]
    )


@pytest.mark.slow
def test_weights_have_the_least_loss_that_their_pull_allows():
    draw = np.random.default_rng(0)
    y = np.arange(600) % 2
    tried = expit(np.outer(y - 0.5, [1.0, 2.0, 0.0]) + draw.normal(size=(600, 3)))
    rows = Rows(tried, y, None, np.ones(600))
    mixture = fit_mixture(tried, rows, 300)

    def value(weight):
        score = mixed({**mixture, "weight": weight}, tried)
        target = np.exp(
            -mixture["behind"] / np.maximum(mixture["standard_error"], 1e-9)
        )
        few = 5 / 305
        target = (1 - few) * target / target.sum() + few * np.array([1, 0, 0])
        away = weight - target
        return log_loss(y, score) + RIDGE / (1 - few) * away @ away

    best = value(mixture["weight"])
    for step in draw.dirichlet([1, 1, 1], 300):
        for share in (0.02, 0.1, 0.5):
            assert value((1 - share) * mixture["weight"] + share * step) > best - 1e-6


def test_nothing_is_called_surer_than_the_videos_can_show():
    draw = np.random.default_rng(0)
    y = np.arange(200) % 2
    groups = np.arange(200) // 2 % 20 * 2 + y  # 20 groups of each class
    scores = expit(np.where(y == 1, 8.0, -8.0)[:, None] + draw.normal(size=(200, 2)))
    combiner = AutoCombiner(FEW).fit(scores, y, groups=groups)
    score = combiner.fake_score(scores)
    assert logit(score.max()) == pytest.approx(1.5 * np.log(21), rel=0.2)
    assert logit(score.max()) < 1.5 * np.log(21)
    assert logit(score.min()) > -1.5 * np.log(21)
    assert roc_auc_score(y, score) == 1


def test_the_ceiling_is_the_lowest_that_costs_next_to_nothing():
    draw = np.random.default_rng(0)
    y = np.arange(4000) % 2
    rows = Rows(np.zeros((4000, 1)), y, None, np.ones(4000))
    factor, loss = {}, {}
    for name, far in (("apart", 6.0), ("mixed", 1.0)):
        log_odds = far * (2 * y - 1) + draw.normal(size=4000)
        mixture = fit_mixture(expit(log_odds)[:, None], rows, 2000)
        factor[name] = (mixture["highest"] / np.log(2001)).round(9)
        bent = [
            log_loss(y, mixed({**mixture, "highest": k * np.log([2001, 2001])},
                              expit(log_odds)[:, None]))
            for k in (0.4, 0.5, 0.6, 0.7, 0.85, 1, 1.25, 1.5)
        ]  # fmt: skip
        least = np.flatnonzero(np.array(bent) <= min(bent) + 0.001)[0]
        loss[name] = (0.4, 0.5, 0.6, 0.7, 0.85, 1, 1.25, 1.5)[least]
    assert {name: one.tolist() for name, one in factor.items()} == {
        name: [one, one] for name, one in loss.items()
    }
    assert loss["apart"] > loss["mixed"]


@pytest.mark.slow
def test_well_made_scores_are_all_but_averaged():
    scores, y = make_scores(2000, skill=(2.0, 2.0, 2.0))
    combiner = AutoCombiner().fit(scores[:600], y[:600])
    plain = roc_auc_score(y[600:], Voting().fit(scores, y).fake_score(scores[600:]))
    ours = roc_auc_score(y[600:], combiner.fake_score(scores[600:]))
    assert abs(ours - plain) < 0.002


def make_contrary(n=1500, seed=0):
    """The first detector is right about one source and wrong about the other."""
    draw = np.random.default_rng(seed)
    y, source = draw.integers(0, 2, (2, n))
    sign = np.where(source, 1, -1)
    log_odds = [3 * (y - 0.5) * sign, 1.5 * (y - 0.5), 3 * (source - 0.5)]
    return expit(np.array(log_odds).T + draw.normal(0, 1, (n, 3))), y


def test_a_member_that_is_right_about_one_source_and_wrong_about_another_is_used():
    scores, y = make_contrary()
    fresh, truth = make_contrary(seed=1)
    combiner = AutoCombiner(["calibrated", "logistic", "pairs", "small_trees"])
    combiner.fit(scores, y)
    ours = roc_auc_score(truth, combiner.fake_score(fresh))
    mean = roc_auc_score(truth, Stacking().fit(scores, y).fake_score(fresh))
    assert ours > mean + 0.05
    assert combiner.choice_ in ("pairs", "small_trees")


def test_an_inverted_member_is_used_the_other_way_round():
    scores, y = make_scores(600, skill=(-3.0, 1.0, 1.0))
    combiner = AutoCombiner(["calibrated", "logistic", "free_logistic"])
    with pytest.warns(UserWarning, match="0 ranks real videos above fake ones"):
        combiner.fit(scores, y)
    assert combiner.choice_ == "free_logistic"
    assert roc_auc_score(y, combiner.fake_score(scores)) > 0.93


def test_weights_are_of_the_whole_mixture():
    scores, y = make_scores(600, skill=(3.0, 3.0, 0.0))
    combiner = AutoCombiner(["best_single", "free_logistic"]).fit(scores, y)
    assert combiner.choice_ == "free_logistic"
    assert np.isclose(combiner.weights_.sum(), 1)
    assert combiner.weights_[:2].min() > 0.25  # the best single one knows one alone
    assert combiner.weights_[2] < 0.1
    again = AutoCombiner(["free_logistic"]).fit(scores[:, ::-1], y)
    assert again.weights_.argmin() == 0


def test_hopeless_candidates_are_stopped_and_the_first_never():
    scores, y = make_contrary()
    combiner = AutoCombiner(["calibrated", "best_single", "pairs"]).fit(scores, y)
    table = combiner.table_
    assert table["stopped"].tolist() == [False, True, False]
    assert table.loc["best_single", "weight"] == 0
    assert "stopped early: best_single" in combiner.reason_
    assert list(combiner.combiners_) == ["pairs"]


@pytest.mark.slow
def test_a_cost_of_change_is_told_only_where_there_is_one():
    y = np.arange(60) % 2
    sure = np.column_stack([0.1 + 0.8 * y + 0.001 * np.arange(60)] * 2)
    assert "rarer" not in AutoCombiner(["calibrated", "logistic"]).fit(sure, y).reason_
    draw = np.random.default_rng(0)
    odd = np.where(draw.random((60, 2)) < 0.3, 1 - sure, sure).clip(0.01, 0.99)
    said = AutoCombiner(["calibrated", "logistic"]).fit(odd, y).reason_
    assert (
        "come to fail (tried by making the videos that it gets right ten times" in said
    )


def test_the_stress_counts_less_what_a_detector_has_right():
    scores, y = make_scores(900, skill=(4.0, 0.5, 0.0))
    stress = AutoCombiner(FEW).fit(pd.DataFrame(scores, columns=list("abc")), y).stress_
    assert stress.index.tolist() == ["none", "a", "b", "c"]
    # all rests on a; the videos that the third has right are as good as any
    assert stress.loc["a", "auc"] < stress.loc["none", "auc"] - 0.1
    assert abs(stress.loc["c", "auc"] - stress.loc["none", "auc"]) < 0.02


@pytest.mark.slow
def test_what_is_worth_learning_is_learned():
    scores, y = make_scores(600, skill=(4.0, 0.0, 0.0))
    scores[:, 1] = 0.05 * scores[:, 1]  # says real to all
    combiner = AutoCombiner(FEW).fit(scores, y)
    assert combiner.choice_ in ("logistic", "best_single")
    assert "least log loss" in combiner.reason_
    assert combiner.weights_.argmax() == 0
    assert combiner.weights_.shape == (3,)


@pytest.mark.slow_after(1)
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
    assert combiner.candidate_weights_["calibrated"] == 1
    assert combiner.stress_.isna().all(axis=None)
    only = AutoCombiner(["soft"]).fit(scores, y)
    assert (only.choice_, only.reason_) == ("soft", "soft: the only candidate")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_few_groups_pull_to_the_simplest_and_are_spoken_of():
    scores, y = make_scores(600, skill=(3.0, 1.0, 0.0))
    groups = np.arange(600) // 100
    few = AutoCombiner(FEW).fit(scores, y, groups=groups)
    many = AutoCombiner(FEW).fit(scores, y)
    assert few.candidate_weights_[FEW[0]] > many.candidate_weights_[FEW[0]] + 0.1
    assert "with 6 groups of a class little can be learned" in few.reason_
    assert "groups of a class" not in many.reason_


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_learned(seed):
    draw = np.random.default_rng(seed)
    scores, y = draw.random((400, 4)), np.arange(400) % 2
    combiner = AutoCombiner(["calibrated", "logistic", "pairs", "large_trees"])
    score = combiner.fit(scores, y).fake_score(draw.random((4000, 4)))
    truth = np.arange(4000) % 2
    assert abs(roc_auc_score(truth, score) - 0.5) < 0.03
    assert log_loss(truth, score) < 0.71


@pytest.mark.slow
def test_public_set_is_mixed_no_worse_than_the_calibrated_mean(shared):
    table = read_scores(shared / "data/scores/ffpp_4detectors.csv", scores="p_*")
    beside = companions(table)
    combiner = AutoCombiner().fit(table, beside.label, groups=beside.group)
    assert combiner.table_["auc"].max() > 0.990  # within folds
    assert combiner.stress_.loc["none", "auc"] > 0.990
    assert combiner.table_["log_loss"].min() < 0.094


@pytest.mark.slow
def test_many_equal_candidates_are_mixed_too():
    draw, y = np.random.default_rng(0), np.arange(1600) % 2
    tried = np.tile(expit(2 * (y - 0.5) + draw.normal(size=1600))[:, None], 80)
    mixture = fit_mixture(tried, Rows(tried, y, None, np.ones(1600)), 800)
    assert mixture["weight"].sum() == pytest.approx(1)
    np.testing.assert_allclose(roc_auc_score(y, mixed(mixture, tried)),
                               roc_auc_score(y, tried[:, 0]))  # fmt: skip
