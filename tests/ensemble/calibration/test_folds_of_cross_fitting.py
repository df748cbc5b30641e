"""Copies of a combiner score on scales of their own: their AUC is that within folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, ScorePipeline
from ensemble.calibration import cross_fitted_scores
from ensemble.calibration.cross_fitting import cross_fitting_folds
from ensemble.combiners import Stacking
from ensemble.metrics.within_folds import fold_auc
from ensemble.out_of_fold.ensemble_scores import out_of_fold_of
from ensemble.scores import score_table


def make_noise(seed, n_groups, n=100):
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, n_groups, n)
    return draw.random((n, 3)), draw.integers(0, 2, n), groups


def folds_beside(scores, fold):
    """A score table whose detectors were fitted in these folds."""
    index = [f"{row}.mp4" for row in range(len(scores))]
    return score_table(
        np.asarray(scores), index, ["a", "b", "c"][: scores.shape[1]], fold=fold
    )


def test_no_fold_reads_below_chance_where_there_is_nothing_to_know():
    rules = []
    for seed in range(24):
        scores, y, groups = make_noise(seed, n_groups=8)
        rules.append(ScorePipeline("logistic", n_boot=0).fit(scores, y, groups))
    aucs = [rule.auc_ for rule in rules]
    assert abs(np.mean([auc.estimate for auc in aucs]) - 0.5) < 0.03  # pooled: .415
    missed = sum(not auc.low <= 0.5 <= auc.high for auc in aucs)
    assert missed <= 4  # pooled: 16


def test_copies_are_fitted_in_the_folds_of_the_detectors():
    scores, y, groups = make_noise(0, n_groups=20)
    fold = groups % 4
    table = folds_beside(scores, fold)
    pairs = np.column_stack([fold, cross_fitting_folds(table, y, groups)])
    assert len(np.unique(pairs, axis=0)) == 4
    score = cross_fitted_scores(Stacking(), table, y, groups)
    for number in range(4):
        apart = fold != number
        copy = clone(Stacking()).fit(table[apart], y[apart], groups=groups[apart])
        expected = copy.fake_score(table[~apart])
        np.testing.assert_allclose(score[~apart], expected, atol=0.02)
    auc = ScorePipeline("soft", n_boot=0).fit(table, y, groups).auc_.estimate
    assert auc == pytest.approx(fold_auc(y, scores.mean(axis=1), fold))


@pytest.mark.parametrize("wrong", ["groups apart", "one class left", "some unknown"])
def test_folds_that_do_not_serve_are_drawn(wrong):
    scores, y, groups = make_noise(0, n_groups=20)
    fold = (groups % 4).astype(object)
    if wrong == "groups apart":
        fold = np.arange(len(y)) % 4
    elif wrong == "one class left":
        groups = groups * 2 + y
        fold = np.where(y == 1, 0, 1)
    else:
        fold[:3] = None
    drawn = cross_fitting_folds(scores, y, groups)
    np.testing.assert_array_equal(
        cross_fitting_folds(folds_beside(scores, fold), y, groups), drawn
    )
    for code in np.unique(groups):
        assert len(set(drawn[groups == code])) == 1


def test_votes_are_ranked_over_all_folds():
    scores, y, groups = make_noise(0, n_groups=20)
    rule = ScorePipeline("soft", n_boot=0).fit(scores, y, groups)
    assert rule.evidence().fold is None
    assert rule.auc_.estimate == pytest.approx(fold_auc(y, scores.mean(axis=1)))


def test_the_folds_are_kept_in_the_file(tmp_path):
    scores, y, groups = make_noise(0, n_groups=40)
    rule = ScorePipeline("logistic", n_boot=0).fit(scores, y, groups)
    rule.save(tmp_path / "rule.dfe")
    again = ScorePipeline.load(tmp_path / "rule.dfe")
    fold = rule.evidence().fold
    assert len(np.unique(fold)) == 5
    np.testing.assert_array_equal(again.evidence().fold, fold)
    assert again.auc_ == rule.auc_
    assert rule.auc_.estimate == fold_auc(y, rule.oof_fake_score_, fold)


def bright(videos):
    return [video.mean() / 255 for video in videos]


def test_an_ensemble_ranks_what_the_same_copy_scored():
    draw = np.random.default_rng(0)
    y, groups = np.arange(60) % 2, np.arange(60) // 3
    shades = draw.normal(100 + 20 * y[:, None], 30, (60, 96)).clip(0, 255)
    videos = list(shades.astype(np.uint8).reshape(60, 2, 4, 4, 3))
    model = DeepfakeEnsemble(
        [("bright", CallableDetector(bright))],
        combiner="logistic",
        calibration=None,
        verbose=False,
    )
    model.fit(videos, y, groups=groups)
    found = out_of_fold_of(model)
    codes = pd.Series(found.groups)
    assert (pd.Series(found.fold).groupby(codes).nunique() == 1).all()
    assert len(np.unique(found.fold)) == 5
    for number in range(5):
        apart = found.fold != number
        copy = clone(model.combiner_).fit(
            found.table[apart], found.is_fake[apart], groups=found.groups[apart]
        )
        expected = copy.fake_score(found.table[~apart])
        np.testing.assert_allclose(found.score[~apart], expected, atol=0.02)
