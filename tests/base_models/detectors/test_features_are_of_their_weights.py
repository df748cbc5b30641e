"""Features in a store are known by the weights that gave them, whatever a file says."""

import numpy as np
import pytest
from sklearn.base import clone

from base_models import (
    CheckpointError,
    FeaturePathDetector,
    FrameDetector,
    LSTMDetector,
    Store,
    score_videos,
)
from base_models.scoring.per_face import look_closely

SMALL = {"backbone": "test_resnet", "view": "frame", "weights": None, "image_size": 32}
KINDS = {
    "head": lambda **how: FrameDetector(train="head", n_frames=2, **SMALL, **how),
    "path": lambda **how: FeaturePathDetector(clip_length=4, **SMALL, **how),
    "lstm": lambda **how: LSTMDetector(
        n_frames=3, hidden_size=4, epochs=1, **SMALL, **how
    ),
}
draw = np.random.default_rng(0)
VIDEOS = [
    draw.integers(60 * (n % 2), 120 + 60 * (n % 2), (8, 40, 40, 3), np.uint8)
    for n in range(8)
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    made = KINDS[request.param]
    fitted = made(random_state=1).fit(VIDEOS, np.arange(8) % 2, np.arange(8) // 2)
    return made(random_state=1), fitted


def test_a_state_that_claims_others_weights_changes_no_scores_of_theirs(kind, tmp_path):
    unfitted, mine = kind
    meta, arrays = mine.get_state()
    changed = {
        name: value * 1.5 if "backbone" in name and value.dtype == np.float32 else value
        for name, value in arrays.items()
    }
    expected = score_videos([mine], VIDEOS[:2], tmp_path / "alone")[0]
    hostile = clone(unfitted).set_state(meta, changed)
    of_hostile = score_videos([hostile], VIDEOS[:2], tmp_path / "shared")[0]
    of_mine = score_videos([mine], VIDEOS[:2], tmp_path / "shared")[0]
    assert np.array_equal(of_mine, expected)
    assert not np.array_equal(of_hostile, expected)
    assert hostile.get_state()[0]["weights_key"] != meta["weights_key"]


def test_a_state_without_the_networks_weights_is_refused(kind):
    unfitted, mine = kind
    meta, arrays = mine.get_state()
    left = {name: value for name, value in arrays.items()
            if not name.startswith(("backbone", "extractor/"))}  # fmt: skip
    assert len(left) < len(arrays)
    with pytest.raises((RuntimeError, CheckpointError), match="(?i)missing"):
        clone(unfitted).set_state(meta, left)


def test_features_are_found_again_by_a_loaded_detector(kind, tmp_path):
    unfitted, mine = kind
    score_videos([mine], VIDEOS[:2], tmp_path)
    kept = Store(tmp_path).keys("features")
    again = clone(unfitted).set_state(*mine.get_state())
    score_videos([again], VIDEOS[:2], tmp_path)
    assert kept
    assert Store(tmp_path).keys("features") == kept


def test_features_are_kept_in_the_store_that_is_named(kind, tmp_path, monkeypatch):
    _, mine = kind
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_STORE", str(tmp_path / "default"))
    score_videos([mine], VIDEOS[:1], tmp_path / "named")
    look_closely([mine], VIDEOS[1], tmp_path / "named")
    assert len(Store(tmp_path / "named").keys("features")) == 2
    assert not (tmp_path / "default").exists()
