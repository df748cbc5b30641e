"""Weights without fakes: from pseudo-fakes of kinds that no member learned from."""

import warnings

import cv2
import numpy as np
import pandas as pd
import pytest

from base_models import FlickerDetector, FrequencyDetector, PseudoFakes
from ensemble import DeepfakeEnsemble, load
from ensemble.combiners import SpreadLogOdds
from ensemble.out_of_fold.reals_only import fit_spread
from ensemble.out_of_fold.unseen_kinds import unseen_kinds


def scene(seed):
    """A smooth picture that moves on, with grain."""
    draw = np.random.default_rng(seed)
    picture = cv2.blur(draw.integers(0, 256, (48, 48, 3), np.uint8), (7, 7))
    moved = [np.roll(picture, t, axis=1).astype(int) for t in range(9)]
    grain = draw.integers(-4, 5, (9, 48, 48, 3))
    return np.clip(np.stack(moved) + grain, 0, 255).astype(np.uint8)


def members():
    train, _ = PseudoFakes().split(0)
    given = {"image_size": 48, "n_frames": 2, "n_drawn": 8, "pseudo_fakes": train}
    return {
        "frequency": FrequencyDetector("crop", **given),
        "flicker": FlickerDetector("crop", **given),
    }


@pytest.mark.slow
def test_a_fit_on_reals_weighs_members_and_keeps_how(tmp_path):
    reals = [scene(seed) for seed in range(8)]
    model = DeepfakeEnsemble(members(), resampling=2, verbose=False, store=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(reals, [0] * 8, groups=range(8))
    made = model.fit_record_.made_fakes
    assert made.shape == (8, 2)
    assert np.isfinite(made).all()
    weights = model.weights_.to_numpy()
    assert weights.sum() == pytest.approx(1)
    assert weights[0] != weights[1]
    score, known = model.fake_score(reals), model.oof_fake_score_
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(reals), score)
    again.store = tmp_path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        again.refit_combiner("voting")
    np.testing.assert_array_equal(again.weights_.to_numpy(), weights)
    np.testing.assert_array_equal(again.oof_fake_score_, known)
    assert again.threshold_ == model.threshold_
    figures = {key for key in model.card_.to_dict() if "made" in key or "pseudo" in key}
    assert not figures
    assert model.card_.auc.estimate != model.card_.auc.estimate  # unknown
    plain = DeepfakeEnsemble(
        {"flicker": FlickerDetector("crop"), "frequency": FrequencyDetector("crop")}
    )
    assert unseen_kinds(list(plain.detectors.values())) is None  # all kinds are seen


def made_scores(n=40):
    draw = np.random.default_rng(0)
    reals = pd.DataFrame({
        "sees": 1 / (1 + np.exp(-draw.normal(-2, 1, n))),
        "blind": 1 / (1 + np.exp(-draw.normal(-4, 3, n))),
    })  # fmt: skip
    made = np.column_stack([
        1 / (1 + np.exp(-draw.normal(1, 1, n))),
        1 / (1 + np.exp(-draw.normal(-4, 3, n))),
    ])  # fmt: skip
    return reals, made


def test_who_sees_unseen_kinds_gets_more_weight_but_not_all():
    reals, made = made_scores()
    combiner, _ = fit_spread(SpreadLogOdds(), reals, made, np.arange(40))
    assert 0.5 < combiner.weights_[0] < 1
    equal, score = fit_spread(SpreadLogOdds(), reals, None, np.arange(40))
    assert equal.weights_.tolist() == [0.5, 0.5]
    np.testing.assert_array_equal(score, equal.fake_score(reals))
    given, _ = fit_spread(SpreadLogOdds([3, 1]), reals, made, None)
    assert given.weights_.tolist() == [0.75, 0.25]
    firm, _ = fit_spread(SpreadLogOdds(shrinkage=1e6), reals, made, None)
    np.testing.assert_allclose(firm.weights_, 0.5, atol=1e-3)


def test_members_are_brought_to_one_spread_over_the_reals():
    reals, _ = made_scores(400)
    combiner, _ = fit_spread(SpreadLogOdds(), reals, None, None)
    odds = np.log(reals / (1 - reals)).to_numpy().clip(-6.9067, 6.9067)
    low, middle, high = np.quantile(odds, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(combiner.centre_, middle, atol=0.05)
    np.testing.assert_allclose(combiner.spread_, (high - low) / 1.349, atol=0.05)


def test_no_video_is_scored_by_weights_of_its_own_pseudo_fake():
    reals, made = made_scores(12)
    groups = np.arange(12) // 2
    _, score = fit_spread(SpreadLogOdds(), reals, made, groups)
    changed = made.copy()
    changed[groups == 3] = [0.001, 0.999]
    _, other = fit_spread(SpreadLogOdds(), reals, changed, groups)
    np.testing.assert_array_equal(score[groups == 3], other[groups == 3])
    assert (score[groups != 3] != other[groups != 3]).any()
