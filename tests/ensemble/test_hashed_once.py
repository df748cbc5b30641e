"""The content of an array is hashed once in a call, and again in the next one."""

from collections import Counter

import joblib
import numpy as np
import pytest

from base_models import (
    CallableDetector,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    score_videos,
)
from base_models.video import paths
from ensemble import DeepfakeEnsemble, compare_strategies, out_of_fold_scores

pytestmark = pytest.mark.filterwarnings("ignore:the model is not shown to beat")
Y = [0, 1] * 4
GROUPS = [0, 0, 1, 1, 2, 2, 3, 3]


class DarkerFrequencies(FrequencyDetector):
    """A user's detector: its `fit` does more, then what that of its base class does."""

    def fit(self, videos, y, groups=None, sample_weight=None):
        self.darkest_ = min(video.min() for video in videos)
        return super().fit(videos, y, groups, sample_weight)


def are_known(videos):
    """P(fake) 1 where the digest came along into a thread or a process."""
    return [float(digest is not None) for digest in paths.known_digests(videos)]


@pytest.fixture
def videos():
    draw = np.random.default_rng(0)
    return [draw.integers(0, 255, (6, 32, 32, 3), np.uint8) for _ in Y]


@pytest.fixture
def n_hashed(monkeypatch):
    """How often each array was hashed, by its id."""
    counted, hash_array = Counter(), paths._array_digest

    def counting(array):
        counted[id(array)] += 1
        return hash_array(array)

    monkeypatch.setattr(paths, "_array_digest", counting)
    return counted


def frequencies(cls=FrequencyDetector, **settings):
    return cls(view="frame", image_size=64, n_frames=1, random_state=0, **settings)


def network():
    return FrameDetector(
        "mesonet4", weights=None, view="frame", image_size=32, n_frames=1, epochs=1,
        random_state=0, pseudo_fakes=True,
    )  # fmt: skip


def members():
    return {
        "network": network(),
        "frequencies": frequencies(),
        "darker": frequencies(DarkerFrequencies),
        "callable": CallableDetector(are_known),
    }


@pytest.mark.slow
def test_a_fit_and_a_verdict_hash_each_array_once(videos, n_hashed, tmp_path):
    once = dict.fromkeys(map(id, videos), 1)
    model = DeepfakeEnsemble(members(), resampling=2, store=tmp_path, random_state=0)
    model.fit(videos, Y, GROUPS)
    assert n_hashed == once
    for call in (model.judge, model.predict_proba, model.detector_scores):
        n_hashed.clear()
        call(videos)
        assert n_hashed == once
    n_hashed.clear()
    list(model.judge_each(videos))  # for its name, its views, its faces, its profile
    assert max(n_hashed.values()) <= 4
    n_hashed.clear()
    model.add_detector("flicker", FlickerDetector(view="frame", n_frames=4))
    assert n_hashed == once


@pytest.mark.slow
@pytest.mark.parametrize("make", [network, frequencies])
def test_a_detector_by_itself_hashes_each_array_once(make, videos, n_hashed, tmp_path):
    once = dict.fromkeys(map(id, videos), 1)
    detector = make().set_params(store=tmp_path).fit(videos, Y, groups=GROUPS)
    assert n_hashed == once
    n_hashed.clear()
    score_videos([detector, detector], videos, tmp_path / "other")
    assert n_hashed == once


@pytest.mark.slow
def test_scores_of_many_fits_hash_each_array_once(videos, n_hashed, tmp_path):
    once = dict.fromkeys(map(id, videos), 1)
    settings = {"store": tmp_path, "random_state": 0}
    out_of_fold_scores([frequencies()], videos, Y, GROUPS, resampling=2, **settings)
    assert n_hashed == once
    n_hashed.clear()
    compare_strategies(
        {"a": frequencies(), "b": frequencies(DarkerFrequencies)}, Y, GROUPS,
        ["log_odds"], videos=videos, n_folds=2, n_boot=10, **settings,
    )  # fmt: skip
    assert n_hashed == once


@pytest.mark.parametrize(
    "backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)]
)
def test_jobs_elsewhere_get_the_digests(backend, videos):
    with joblib.parallel_config(backend):
        table = out_of_fold_scores(
            [CallableDetector(are_known)], videos, Y, GROUPS, resampling=2, n_jobs=2
        )
    assert table.to_numpy().ravel().tolist() == [1] * len(Y)


@pytest.mark.slow
def test_an_array_that_was_written_to_is_hashed_anew(videos, tmp_path):
    model = DeepfakeEnsemble([frequencies()], resampling=2, store=tmp_path)
    before = model.fit(videos, Y, GROUPS).predict_proba(videos)
    digests = model.fit_record_.training.digests
    for video in videos:
        video[:, :16] = 0
    after = model.predict_proba(videos)
    assert (after != before).all()
    fresh = DeepfakeEnsemble([frequencies()], resampling=2, store=tmp_path / "fresh")
    copies = [video.copy() for video in videos]
    assert model.fit(videos, Y, GROUPS).oof_scores_.equals(
        fresh.fit(copies, Y, GROUPS).oof_scores_
    )
    assert not set(digests) & set(model.fit_record_.training.digests)
