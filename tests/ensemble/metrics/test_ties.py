import numpy as np
import pytest

from ensemble.combiners import Voting
from ensemble.decision import Decision, ThreeWayDecision
from ensemble.metrics.ties import above, below
from ensemble.thresholds import Thresholds

HALF = np.nextafter(0.5, 1)  # what a half may come to, in another order of terms


def test_scores_that_differ_by_rounding_alone_are_a_tie():
    assert above([HALF, 0.5, 0.5 + 1e-9, np.nan], 0.5).tolist() == [0, 0, 1, 0]
    assert below([1 - HALF, 0.5, 0.5 - 1e-9, np.nan], 0.5).tolist() == [0, 0, 1, 0]


def test_sure_scores_close_to_one_are_no_ties():
    assert above(1 - 1e-11, 1 - 1e-10)


@pytest.mark.parametrize("kind", ["soft", "log_odds", "hard"])
def test_votes_that_cancel_are_real(kind):
    combiner = Voting(kind).fit([[0.9, 0.1, 0.6], [0.1, 0.9, 0.4]], [1, 0])
    pairs = [[0.7, 0.3, np.nan], [0.3, 0.7, np.nan], [0.9, 0.1, 0.5], [0.2, 0.8, 0.5]]
    assert combiner.predict(pairs).tolist() == [0] * 4


def test_a_tie_is_real_to_every_verdict():
    assert Thresholds(0.5, 0.5, False, "").verdicts([HALF]).tolist() == ["REAL"]
    unsure = Thresholds(0.5, 0.7, True, "").verdicts([np.nextafter(0.5, 0), 0.7])
    assert unsure.tolist() == ["UNSURE", "UNSURE"]
    decision = Decision()
    decision.threshold_ = 0.5
    assert decision.predict([HALF]).tolist() == ["REAL"]
    three = ThreeWayDecision()
    three.low_, three.high_ = 0.3, 0.5
    assert three.predict([HALF, np.nextafter(0.3, 0)]).tolist() == ["UNSURE"] * 2


def test_an_ensemble_whose_scores_are_all_one_half_calls_nothing_fake(monkeypatch):
    from base_models import CallableDetector
    from ensemble import DeepfakeEnsemble

    videos = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in range(40, 200, 20)]
    detector = CallableDetector(lambda videos: [0.5] * len(videos))
    model = DeepfakeEnsemble([detector], combiner="soft", resampling=2, verbose=False)
    model.fit(videos, np.arange(8) % 2, groups=np.arange(8) // 2)
    monkeypatch.setattr(
        type(model.combiner_), "_fake_score", lambda self, s: np.full(len(s), HALF)
    )
    assert (model.fake_score(videos) == 0.5).all()
    assert not model.predict(videos).any()
    assert (model.decision_function(videos) == 0).all()
