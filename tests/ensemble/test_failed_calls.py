import numpy as np
import pytest

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Stacking, Voting


def _bright(videos):
    return [0.1 + 0.8 * np.mean(video) / 255 for video in videos]


def _dark(videos):
    return [0.9 - 0.8 * np.mean(video) / 255 for video in videos]


def _broken(videos):
    raise RuntimeError("the network is gone")


VIDEOS = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in range(20, 212, 16)]
Y, GROUPS = np.arange(12) // 6, np.arange(12) % 6


@pytest.fixture
def model():
    members = {"bright": CallableDetector(_bright), "dark": CallableDetector(_dark)}
    model = DeepfakeEnsemble(
        members, combiner=Voting(weights=[2, 1]), resampling=2, verbose=False
    )
    return model.fit(VIDEOS, Y, groups=GROUPS)


class _RefusingCombiner(Stacking):
    """Refuses when all members were fitted already."""

    def _fit(self, rows):
        raise ValueError("too few rows")


CALLS = {
    "fit": lambda m: m.fit(VIDEOS[::-1], Y, groups=np.arange(12) // 2),
    "fit of other labels": lambda m: m.fit(VIDEOS, list("rf" * 6), groups=GROUPS),
    "fit of one class": lambda m: m.fit(VIDEOS, np.ones(12, int), groups=GROUPS),
    "refit_combiner by name": lambda m: m.refit_combiner("nonsense"),
    "refit_combiner": lambda m: m.refit_combiner(Voting(weights=[1, 2, 3])),
    "refit_combiner that fails late": lambda m: m.refit_combiner(_RefusingCombiner()),
    "add_detector that the combiner refuses": lambda m: m.add_detector(
        "again", CallableDetector(_bright)
    ),
    "add_detector that fails": lambda m: m.add_detector(
        "broken", CallableDetector(_broken)
    ),
    "set_params of an unknown name": lambda m: m.set_params(threshold=0.9, nonsense=1),
    "set_params of an unknown name of a member": lambda m: m.set_params(
        bright__function=_dark, bright__nonsense=1
    ),
    "set_params of no detectors": lambda m: m.set_params(detectors=3, threshold=0.1),
}


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_leaves_the_ensemble_exactly_as_it_was(call, model):
    if call == "fit":  # whose combiner no longer fits its members
        model.set_params(combiner=Voting(weights=[1, 2, 3]))
    before, params = dict(vars(model)), model.get_params()
    table, score = model.oof_scores_.copy(), model.fake_score(VIDEOS)
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        CALLS[call](model)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert model.get_params() == params
    assert list(model.detectors_) == ["bright", "dark"]
    np.testing.assert_array_equal(model.oof_scores_, table)
    np.testing.assert_array_equal(model.fake_score(VIDEOS), score)
    assert model.judge(VIDEOS)["status"].eq("scored").all()


def test_a_first_fit_that_fails_leaves_an_ensemble_that_is_not_fitted():
    model = DeepfakeEnsemble([CallableDetector(_bright)], resampling=2, verbose=False)
    model.set_params(combiner=Voting(weights=[1, 2, 3]))
    with pytest.raises(ValueError, match="weights must have shape"):
        model.fit(VIDEOS, Y, groups=GROUPS)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("threshold", ["fpr=0.001", "three-way"])
def test_a_threshold_that_so_few_videos_cannot_promise_is_refused_before_any_fit(
    threshold,
):
    def never(videos):
        raise AssertionError("a video was looked at")

    model = DeepfakeEnsemble(
        [CallableDetector(never)], resampling=2, verbose=False, threshold=threshold
    )
    with pytest.raises(ValueError, match="or more are needed"):
        model.fit(VIDEOS, Y, groups=GROUPS)


def test_a_threshold_that_cannot_be_promised_leaves_the_model_of_before(model):
    score = model.fake_score(VIDEOS)
    model.set_params(threshold="fpr=0.001")
    with pytest.raises(ValueError, match="cannot be told on 6 real videos"):
        model.refit_combiner("soft")
    model.set_params(threshold=None)
    np.testing.assert_array_equal(model.fake_score(VIDEOS), score)
