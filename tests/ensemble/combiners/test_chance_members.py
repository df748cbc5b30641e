"""A detector at chance, or with scores where none were seen, makes no verdicts."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from ensemble.calibration import Calibrator
from ensemble.combiners import Stacking, Voting, resolve_combiner
from ensemble.combiners.parts.detector_skill import (
    doubt,
    looks_inverted,
    measure_evidence,
    skill_beside_others,
)
from ensemble.combiners.parts.reach import fit_reach, within_reach

SPREADS = [(1e-4,), (1e-4, 1e-3), (1e-4, 1e-2, 0.3), (1e-3, 0.1, 0.2), (0.3,)]
REPEATS = 4  # what a vote says of a wide score is the detector's own claim
VOTES = ("weighted", "greedy", "best_single", "dynamic", "soft", "log_odds")


def noise_table(seed, spreads, n_videos=72, n_groups=18):
    """Scores without skill, of five folds whose networks differ a little."""
    draw = np.random.default_rng(seed)
    groups = np.arange(n_videos) % n_groups
    y = draw.permutation(n_videos) % 2
    scores = draw.normal(size=(n_videos, len(spreads)))
    scores += 0.5 * draw.normal(size=(5, len(spreads)))[groups % 5]
    return np.clip(0.5 + scores * spreads, 0, 1), y, groups


def moved_tables(seed, spreads):
    """New videos, each detector's scores moved by 3 and by 30 spreads, .3 at most."""
    draw = np.random.default_rng(seed)
    for shift in (-30, -3, 3, 30):
        move = shift * np.array(spreads) * draw.choice([-1, 1], len(spreads))
        scores = 0.5 + draw.normal(size=(40, len(spreads))) * spreads
        yield np.clip(scores + np.clip(move, -0.3, 0.3), 0, 1)


def away_from_prior(name, spreads):
    """How far the mean P(fake) of each new table is from the share of fakes."""
    away = []
    for seed in range(REPEATS):
        scores, y, groups = noise_table(seed, spreads)
        combiner = resolve_combiner(name, 0).fit(scores, y, groups=groups)
        for new in moved_tables(seed, spreads):
            away.append(abs(combiner.fake_score(new).mean() - 0.5))
    return np.array(away)


@pytest.mark.slow_after(10)
@pytest.mark.parametrize("spreads", SPREADS, ids=str)
@pytest.mark.parametrize("name", ["calibrated", "logistic", "lightgbm", "mlp"])
def test_chance_detectors_leave_p_fake_at_the_share_of_fakes(name, spreads):
    away = away_from_prior(name, spreads)
    assert away.mean() < (0.15 if name == "mlp" else 0.07)
    assert away.max() < (0.4 if name == "mlp" else 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("spreads", SPREADS[:4], ids=str)
@pytest.mark.parametrize("name", ["bagging", "auto"])
def test_averages_of_combiners_do_so_too(name, spreads):
    assert away_from_prior(name, spreads).mean() < 0.1


@pytest.mark.parametrize("name", VOTES)
def test_votes_say_no_more_than_the_detectors_themselves(name):
    assert away_from_prior(name, (1e-4,)).max() < 0.01
    assert away_from_prior(name, (1e-4, 1e-3)).max() < 0.05


@pytest.mark.parametrize("method", ["platt", "beta", "temperature"])
def test_calibration_of_chance_scores_makes_no_verdicts(method):
    for seed in range(REPEATS):
        scores, y, groups = noise_table(seed, (1e-4,))
        calibrator = Calibrator(method).fit(scores[:, 0], y, groups=groups)
        for new in moved_tables(seed, (1e-4,)):
            assert abs(calibrator(new[:, 0]).mean() - 0.5) < 0.15


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", ["logistic", "lightgbm", "mlp"])
def test_a_true_detector_of_narrow_scores_keeps_its_weight(name):
    aucs, losses = [], []
    for seed in range(3):
        draw = np.random.default_rng(seed)

        def table(y, draw=draw):
            true = 0.5 + 1e-3 * (2.2 * (y - 0.5) + draw.normal(size=len(y)))
            noise = np.clip(0.5 + 0.1 * draw.normal(size=len(y)), 0, 1)
            return np.column_stack([true, noise])

        y, new_y = np.arange(72) % 2, np.arange(600) % 2
        combiner = resolve_combiner(name, 0).fit(table(y), y, groups=np.arange(72) // 4)
        score = combiner.fake_score(table(new_y))
        aucs.append(roc_auc_score(new_y, score))
        losses.append(log_loss(new_y, score))
    assert np.mean(aucs) > 0.9  # .94 were the distributions known
    assert np.mean(losses) < 0.42  # .30


def test_a_chance_detector_takes_nothing_from_a_true_one():
    draw = np.random.default_rng(0)
    y = np.arange(80) % 2
    good = expit(3 * (y - 0.5) + draw.normal(size=80))
    noise = 0.5 + 1e-4 * draw.normal(size=80)
    scores = np.column_stack([good, noise])
    combiner = Stacking(shrinkage=0.0).fit(scores, y, groups=np.arange(80) // 4)
    moved = scores + np.array([0, 0.05])  # 500 spreads
    np.testing.assert_allclose(
        combiner.fake_score(moved), combiner.fake_score(scores), atol=0.2
    )


def test_scores_beyond_those_of_fit_keep_their_order():
    scores, y, _ = noise_table(0, (0.01,))
    y = (scores[:, 0] > 0.5).astype(int)
    combiner = Stacking().fit(scores, y)
    beyond = np.linspace(0.3, 0.7, 2000)[:, None]
    assert (np.diff(combiner.fake_score(beyond)) > 0).all()
    low, high = combiner.fake_score([[0.0], [1.0]])
    edges = combiner.fake_score([[scores.min()], [scores.max()]])
    assert low < edges[0]
    assert edges[1] < high < 1 - 1e-9


def test_a_score_moves_one_spread_beyond_the_range_at_most():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(50, 3))
    scores[draw.random(scores.shape) < 0.2] = np.nan
    reach = fit_reach(scores, np.ones(50))
    np.testing.assert_array_equal(within_reach(reach, scores), scores)
    far = within_reach(reach, np.full((1, 3), 1e9))[0]
    np.testing.assert_allclose(far, np.nanmax(scores, axis=0) + np.nanstd(scores, 0))
    constant = fit_reach(np.full((5, 1), 0.7), np.ones(5))
    np.testing.assert_allclose(within_reach(constant, np.array([[0.2], [0.9]])), 0.7)


@pytest.mark.slow
def test_evidence_is_the_auc_and_its_spread_over_groups():
    draw = np.random.default_rng(0)
    groups = np.arange(200) // 5
    y = draw.permutation(200) % 2
    scores = y[:, None] * [1.0, 0.0] + draw.normal(size=(200, 2))
    scores += 2 * draw.normal(size=40)[groups, None]
    evidence = measure_evidence(scores, y, None, groups)
    expected = [roc_auc_score(y, column) for column in scores.T]
    np.testing.assert_allclose(evidence.auc, expected)
    drawn = []
    for _ in range(200):
        rows = np.concatenate(
            [np.flatnonzero(groups == g) for g in draw.integers(0, 40, 40)]
        )
        drawn.append([roc_auc_score(y[rows], column[rows]) for column in scores.T])
    without_skill = np.sqrt(201 / (12 * 100 * 100))
    error = np.maximum(np.std(drawn, axis=0), without_skill)
    np.testing.assert_allclose(evidence.error, error, rtol=0.15)


def test_evidence_counts_a_weight_of_two_as_the_row_given_twice():
    draw = np.random.default_rng(0)
    scores, y = draw.normal(size=(30, 2)), np.arange(30) % 2
    scores[::7, 0] = np.nan
    times = draw.integers(0, 4, 30)
    for groups in (None, np.arange(30) // 3):
        weighted = measure_evidence(scores, y, times.astype(float), groups)
        repeated = measure_evidence(
            *(None if part is None else part.repeat(times, axis=0)
              for part in (scores, y, np.ones(30), groups))
        )  # fmt: skip
        np.testing.assert_allclose(weighted.auc, repeated.auc)
        np.testing.assert_allclose(weighted.error, repeated.error)


def test_evidence_compares_videos_of_one_fold_only():
    draw = np.random.default_rng(0)
    y, folds = np.arange(60) % 2, np.arange(60) // 12
    score = y + 0.1 * draw.normal(size=60)
    apart = (score - 10 * folds)[:, None]  # each fold's network on a scale of its own
    assert measure_evidence(apart, y).auc[0] < 0.7
    assert measure_evidence(apart, y, folds=folds).auc[0] == 1


def test_a_table_with_folds_beside_it_is_followed_within_folds():
    draw = np.random.default_rng(0)
    y, folds = np.arange(60) % 2, np.arange(60) // 12
    table = pd.DataFrame({"a": 0.5 + 1e-3 * (y + 0.3 * draw.normal(size=60))})
    table["a"] += 2e-3 * folds
    without = Stacking().fit(table, y).weights_[0]
    table.attrs["fold"] = dict(enumerate(folds.tolist()))
    assert Stacking().fit(table, y).weights_[0] > 2 * without


def test_doubt_ends_at_three_standard_errors():
    assert doubt(np.array([3.0, -3.0, 10.0])).tolist() == [0, 0, 0]
    assert (np.diff(doubt(np.linspace(1.1, 3, 20))) < 0).all()


def test_skill_beside_others_needs_groups_to_tell():
    draw = np.random.default_rng(0)
    y, disturbance = np.arange(40) % 2, draw.normal(size=40)
    scores = np.column_stack([y + disturbance, -disturbance])
    few = skill_beside_others(scores, y, np.ones(40), np.arange(40) // 8)
    assert few.tolist() == [0, 0]
    assert (skill_beside_others(scores, y, np.ones(40), np.arange(40)) > 5).all()


def test_an_inverted_detector_is_named_and_not_flipped():
    draw = np.random.default_rng(0)
    y = np.arange(120) % 2
    good = expit(2 * (y - 0.5) + draw.normal(size=120))
    table = pd.DataFrame({"good": good, "round": 1 - good, "noise": draw.random(120)})
    with pytest.warns(UserWarning, match=r"^round ranks real .*invert_scores.*'round'"):
        combiner = Stacking(shrinkage=0.0).fit(table, y)
    assert combiner.weights_[1] == 0
    with pytest.warns(UserWarning, match="Voting takes a high score for fake"):
        Voting().fit(table, y)


def test_what_learns_the_direction_itself_gives_no_advice(recwarn):
    draw = np.random.default_rng(0)
    y = np.arange(120) % 2
    bad = expit(-2 * (y - 0.5) + draw.normal(size=(2, 120))).T
    Stacking("mlp").fit(bad, y)
    assert not [w for w in recwarn if "ranks real" in str(w.message)]


def test_a_score_that_says_nothing_is_a_tie_and_not_above_it_by_rounding():
    y = np.arange(200) % 2
    scores = np.column_stack([1 - y, 1 - y]) * 0.2 + 0.4
    combiner = Stacking().fit(scores, y)  # both inverted, so both weigh nothing
    assert combiner.weights_.max() == 0
    assert (combiner.fake_score(scores) == 0.5).all()


def test_chance_detectors_seldom_look_inverted():
    found = []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        y, groups = draw.permutation(80) % 2, np.arange(80) // 4
        scores = draw.normal(size=(80, 4)) + draw.normal(size=(20, 4))[groups]
        found.append(looks_inverted(scores, y, None, groups).any())
    assert np.mean(found) < 0.06
