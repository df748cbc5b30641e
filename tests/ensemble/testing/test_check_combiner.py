"""Our combiners keep the contract of combiners; what breaks it is told how."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ensemble.combiners import Combiner, Voting
from ensemble.combiners.registry import combiner_names, named_strategies
from ensemble.combiners.voting import Voting as OurVoting
from ensemble.testing import ContractError, check_combiner


class WeightedMean(Combiner):
    """A combiner of somebody else: detectors weighed by how far they part classes."""

    def __init__(self, scale="probability", fake_label=None):
        self.scale = scale
        self.fake_label = fake_label

    def _fit(self, rows):
        means = [
            np.nansum(rows.weight[of, None] * rows.scores[of], axis=0)
            / (rows.weight[of, None] * ~np.isnan(rows.scores[of])).sum(axis=0)
            for of in (rows.is_fake == 0, rows.is_fake == 1)
        ]
        self.weights_ = np.maximum(means[1] - means[0], 1e-3)

    def _fake_score(self, scores):
        there = ~np.isnan(scores)
        return np.nansum(scores * self.weights_, axis=1) / (there @ self.weights_)


class SetsElsewhere(WeightedMean):
    def __init__(self, scale="probability", fake_label=None):
        self.scale = scale
        self.label = fake_label


class ReturnsNothing(WeightedMean):
    def fit(self, X, y, groups=None, sample_weight=None):
        super().fit(X, y, groups, sample_weight)


class ChangesItself(WeightedMean):
    def _fit(self, rows):
        super()._fit(rows)
        self.scale = "rank"


class GivesLogOdds(WeightedMean):
    def _fake_score(self, scores):
        return 8 * super()._fake_score(scores) - 4


class HalfForMissing(WeightedMean):
    def fake_score(self, X):
        return np.nan_to_num(super().fake_score(X), nan=0.5)


class WantsAllScores(WeightedMean):
    def _fake_score(self, scores):
        return scores @ self.weights_ / self.weights_.sum()


class FirstColumnIsFake(WeightedMean):
    def predict_proba(self, X):
        fake = self.fake_score(X)
        return np.column_stack([1 - fake, fake])


class Inverted(WeightedMean):
    def _fake_score(self, scores):
        return 1 - super()._fake_score(scores)


class ByTheOthers(WeightedMean):
    def fake_score(self, X):
        score = super().fake_score(X)
        return expit(score - np.nanmean(score))


class ByTablePlace(WeightedMean):
    def fit(self, X, y, groups=None, sample_weight=None):
        super().fit(X, y, groups, sample_weight)
        self.weights_ = np.linspace(1, 2, len(self.weights_))[self.detector_order_]
        return self


class DrawsAnew(WeightedMean):
    def _fit(self, rows):
        self.weights_ = np.random.default_rng().random(rows.scores.shape[1])


class NeedsTwo(WeightedMean):
    def _fit(self, rows):
        if rows.scores.shape[1] < 2:
            raise ValueError("two detectors at least")
        super()._fit(rows)


class ByGroupName(WeightedMean):
    def fit(self, X, y, groups=None, sample_weight=None):
        super().fit(X, y, groups, sample_weight)
        self.weights_ = self.weights_ + isinstance(groups[0], str)
        return self


class ForgetsWeights(WeightedMean):
    def fit(self, X, y, groups=None, sample_weight=None):
        return super().fit(X, y, groups)


class TakesOneClass(WeightedMean):
    def fit(self, X, y, groups=None, sample_weight=None):
        if len(set(y)) > 1:
            return super().fit(X, y, groups, sample_weight)
        self.classes_ = np.array([0, 1])
        return self


class MovesTheMissing(WeightedMean):
    def contributions(self, X):
        return np.full(np.shape(X), 0.1)


class KeepsCode(WeightedMean):
    def _fit(self, rows):
        super()._fit(rows)
        self.function_ = np.tanh


BROKEN = [
    (SetsElsewhere, r"parameters: expected .* clone"),
    (ReturnsNothing, r"fit: expected fit to return self; got None"),
    (ChangesItself, r"fit: expected parameter 'scale' as it was.*got 'rank'"),
    (GivesLogOdds, r"scores: expected _fake_score within 0 to 1; got "),
    (HalfForMissing, r"missing scores: expected NaN for a video with no score .* 0\.5"),
    (WantsAllScores, r"missing scores: expected a score for a video with one score"),
    (FirstColumnIsFake, r"labels: expected the same P\(fake\)"),
    (Inverted, r"orientation: expected a higher score where all detectors say 0\.96"),
    (ByTheOthers, r"order of the videos: expected the same score of a video alone"),
    (ByTablePlace, r"order of the detectors: expected the same scores"),
    (DrawsAnew, r"same seed: expected the same scores after another fit"),
    (NeedsTwo, r"one detector: .*got ValueError: two detectors at least"),
    (ByGroupName, r"groups: expected the same scores with groups of other names"),
    (ForgetsWeights, r"weights: expected weight 2 to mean the same"),
    (TakesOneClass, r"one class: expected ValueError for reals alone; got no error"),
    (MovesTheMissing, r"contributions: expected 0 where a score is missing; got 0\.1"),
    (KeepsCode, r"saved models: .*cannot be saved"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_what_breaks_the_contract_is_told_what_it_breaks(broken, message):
    with pytest.raises(ContractError, match=f"{broken.__name__}, {message}"):
        check_combiner(broken())


@pytest.mark.parametrize("combiner", [WeightedMean(), "log_odds", "hard", "calibrated"])
def test_the_quick_ones_keep_the_contract(combiner):
    check_combiner(combiner)


def test_a_subclass_of_ours_is_checked_as_what_it_is():
    class Louder(OurVoting):
        def _fake_score(self, scores):
            return np.minimum(1, 3 * super()._fake_score(scores) + 0.2)

    with pytest.raises(ContractError, match="Louder, "):
        check_combiner(Louder("max"))
    check_combiner(Voting("max"))


NOT_SAVED = {
    "plain_lightgbm",
    "stacking, plain LightGBM",
}  # scikit-learn's habit; `fit` warns of it


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*combiner_names(), *named_strategies()}))
def test_all_of_ours_keep_the_contract(name):
    if name in NOT_SAVED:
        with pytest.raises(
            ContractError, match="saved models: .*LGBMClassifier cannot"
        ):
            check_combiner(named_strategies().get(name, name))
    else:
        check_combiner(named_strategies().get(name, name))


@pytest.mark.slow
def test_a_classifier_is_checked_as_ensembles_use_it():
    check_combiner(LogisticRegression())
