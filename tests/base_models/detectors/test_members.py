"""Members that measure: frequencies, geometry, sequences."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.base import clone

from base_models import (
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    LSTMDetector,
    Store,
    UnscorableVideoError,
)
from base_models.backbones import build_network
from base_models.detectors.geometry import track_feature_names, track_features
from ensemble import DeepfakeEnsemble, load

LSTM = LSTMDetector(
    "test_resnet",
    view="frame",
    weights=None,
    image_size=32,
    n_frames=4,
    epochs=25,
    learning_rate=0.01,
    n_threads=1,
    random_state=0,
)
FREQUENCY = FrequencyDetector("frame", image_size=48, n_frames=3)
FLICKER = FlickerDetector("frame", image_size=48, n_frames=2)


@pytest.fixture(scope="module")
def grainy():
    """24 clips of smoothed noise; every second one is smoother, 12 groups."""
    draw = np.random.default_rng(0)
    y = np.arange(24) % 2
    videos = [
        np.stack(
            [
                cv2.GaussianBlur(frame, (0, 0), 0.8 + 0.5 * label)
                for frame in draw.integers(0, 256, (4, 48, 48, 3), np.uint8)
            ]
        )
        for label in y
    ]
    return videos, y, np.arange(24) // 2


@pytest.fixture(scope="module")
def bright(grainy):
    """The same, every second one brighter too."""
    videos, y, groups = grainy
    lift = np.uint8(60)
    lit = [v // 2 + lift * np.uint8(fake) for v, fake in zip(videos, y, strict=True)]
    return lit, y, groups


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "detector", [FREQUENCY, FLICKER, LSTM, clone(LSTM).set_params(rnn="gru")], ids=str
)
def test_learns_and_comes_back_from_its_state(detector, grainy, bright, tmp_path):
    videos, y, groups = bright if isinstance(detector, LSTMDetector) else grainy
    detector = clone(detector).set_params(store=tmp_path)
    detector.fit(videos[:16], y[:16], groups=groups[:16])
    score = detector.fake_score(videos[16:])
    assert score[y[16:] == 1].min() > score[y[16:] == 0].max()
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(again.fake_score(videos[16:]), score)
    anew = clone(detector).set_params(store=tmp_path / "new")
    anew.fit(videos[:16], y[:16], groups=groups[:16])
    np.testing.assert_array_equal(anew.fake_score(videos[16:]), score)
    order = np.random.default_rng(1).permutation(16)
    shuffled = clone(detector).fit(
        [videos[i] for i in order], y[order], groups=groups[order]
    )
    np.testing.assert_allclose(shuffled.fake_score(videos[16:]), score, atol=1e-9)
    (timeline,) = detector.score_frames(videos[16:17])
    assert list(timeline) == ["frame", "face", "score"]
    assert timeline["score"].between(0, 1).all()


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("detector", [FREQUENCY, FLICKER, LSTM], ids=str)
def test_an_unreadable_video_has_no_score_and_a_reason(detector, grainy, tmp_path):
    videos, y, _ = grainy
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    detector = clone(detector)
    with pytest.warns(UserWarning, match=r"left out of training.*broken\.mp4"):
        detector.fit([*videos, broken], [*y, 1])
    assert list(detector.unscorable_) == [str(broken)]
    assert np.isnan(detector.fake_score([broken])[0])
    with pytest.raises(UnscorableVideoError, match=r"broken\.mp4"):
        detector.predict([broken])
    with pytest.raises(UnscorableVideoError):
        clone(detector).fit([*videos[::2], broken], [*y[::2], 1])


@pytest.mark.slow
def test_they_are_saved_with_an_ensemble(bright, tmp_path):
    videos, y, groups = bright
    model = DeepfakeEnsemble(
        {"sequence": LSTM, "frequency": FREQUENCY, "flicker": FLICKER},
        resampling=2,
        verbose=False,
    ).fit(videos, y, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


def test_features_are_shared_with_a_frozen_frame_detector(bright, tmp_path):
    videos, y, _ = bright
    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", weights=None).state_dict(), weights)
    shared = {"weights": weights, "store": tmp_path}
    clone(LSTM).set_params(**shared).fit(videos, y)
    kept = Store(tmp_path).keys("features")
    assert len(kept) == len(videos)
    FrameDetector(
        "test_resnet", "frame", train="head", image_size=32, n_frames=4, n_threads=1,
        **shared,
    ).fit(videos, y)  # fmt: skip
    assert Store(tmp_path).keys("features") == kept


def test_wrong_cells_are_refused(bright):
    with pytest.raises(ValueError, match="rnn must be 'lstm' or 'gru'; got 'elman'"):
        clone(LSTM).set_params(rnn="elman").fit(*bright[:2])


def named(points, encodings=None):
    encodings = np.zeros((0, 128)) if encodings is None else encodings
    return dict(
        zip(track_feature_names(), track_features(points, encodings), strict=True)
    )


def test_the_member_of_the_guide_works(bright, tmp_path):
    guide = Path(__file__).parents[3] / "examples/docs/extending/adding_a_detector.md"
    blocks = guide.read_text("utf-8").split("```python\n")[1:]
    (code,) = [b.split("```")[0] for b in blocks if "class ColourDetector(" in b]
    assert code.count("\n") <= 45
    space = {"__name__": "guide"}
    exec(compile(code, guide.name, "exec"), space)
    videos, y, _ = bright
    detector = space["ColourDetector"](store=tmp_path).fit(videos[:16], y[:16])
    assert (detector.predict(videos[16:]) == y[16:]).all()
