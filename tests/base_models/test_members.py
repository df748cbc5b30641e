"""Members that measure: frequencies, geometry, sequences."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.base import clone

from base_models import (
    FrameDetector,
    FrequencyDetector,
    GeometryDetector,
    LSTMDetector,
    UnscorableVideoError,
)
from base_models.backbones import build_network
from base_models.detectors.frequency import image_frequencies
from base_models.detectors.geometry import track_feature_names, track_features
from base_models.detectors.temporal import SequenceNetwork, _sequence_scores, padded
from base_models.store import resolve_store
from base_models.views import Views
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


@pytest.mark.parametrize(
    "detector", [FREQUENCY, LSTM, clone(LSTM).set_params(rnn="gru")], ids=str
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


@pytest.mark.parametrize("detector", [FREQUENCY, LSTM], ids=str)
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


def test_they_are_saved_with_an_ensemble(bright, tmp_path):
    videos, y, groups = bright
    model = DeepfakeEnsemble(
        {"sequence": LSTM, "frequency": FREQUENCY}, resampling=2, verbose=False
    ).fit(videos, y, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


def test_what_is_padded_changes_nothing():
    torch.manual_seed(0)
    for rnn in ("lstm", "gru"):
        network = SequenceNetwork(4, 8, rnn, 0.0).eval()
        torch.nn.init.normal_(network.head.weight)
        draw = np.random.default_rng(0)
        short, long = draw.random((3, 4), np.float32), draw.random((9, 4), np.float32)
        with torch.no_grad():
            alone = network(padded([short]))[0]
            batch = padded([short, long])
            batch[0, 3:, :-1] = 1e6  # whatever lies there
            together = network(batch)[0]
        assert torch.allclose(alone, together, atol=1e-6)
        scores = _sequence_scores(network, long)
        for n in (1, 5, 9):  # the score of a beginning is that of the sequence so far
            np.testing.assert_allclose(
                scores[n - 1], _sequence_scores(network, long[:n])[-1], atol=1e-6
            )


def test_the_order_of_frames_matters_to_a_sequence():
    torch.manual_seed(0)
    network = SequenceNetwork(4, 8, "lstm", 0.0).eval()
    torch.nn.init.normal_(network.head.weight)
    rows = np.random.default_rng(0).random((6, 4), np.float32)
    assert (
        abs(
            _sequence_scores(network, rows)[-1]
            - _sequence_scores(network, rows[::-1].copy())[-1]
        )
        > 1e-4
    )


def test_features_are_shared_with_a_frozen_frame_detector(bright, tmp_path):
    videos, y, _ = bright
    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", weights=None).state_dict(), weights)
    shared = {"weights": weights, "store": tmp_path}
    clone(LSTM).set_params(**shared).fit(videos, y)
    kept = sorted(tmp_path.glob("features/*/*"))
    assert len(kept) == len(videos)
    FrameDetector(
        "test_resnet", "frame", train="head", image_size=32, n_frames=4, n_threads=1,
        **shared,
    ).fit(videos, y)  # fmt: skip
    assert sorted(tmp_path.glob("features/*/*")) == kept


def test_wrong_cells_are_refused(bright):
    with pytest.raises(ValueError, match="rnn must be 'lstm' or 'gru'; got 'elman'"):
        clone(LSTM).set_params(rnn="elman").fit(*bright[:2])


def test_power_by_frequency_is_that_of_a_wave():
    columns = np.arange(64)
    wave = 128 + 100 * np.sin(2 * np.pi * columns * 16 / 64)  # a quarter of the rate
    image = np.repeat(np.rint(wave).astype(np.uint8)[None, :, None], 64, axis=0)
    image = np.repeat(image, 3, axis=2)
    rings = image_frequencies(image)[:32]
    assert rings.argmax() == int(0.25 / np.sqrt(0.5) * 32)


def test_blur_lowers_the_high_frequencies_and_the_residual():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sharp, soft = image_frequencies(image), image_frequencies(cv2.blur(image, (3, 3)))
    assert (soft[:32] - sharp[:32])[24:].mean() < (soft[:32] - sharp[:32])[
        :8
    ].mean() - 1
    assert soft[32 + 62] < sharp[32 + 62]  # the finest part of a block
    assert soft[32 + 63] < sharp[32 + 63]  # spread of the residual within the middle


@pytest.fixture
def moving_face():
    """A face of 68 points that turns, grows and wanders as one, 12 frames."""
    draw = np.random.default_rng(0)
    face = draw.normal(0, 20, (68, 2))
    frames = []
    for t in range(12):
        angle, scale = 0.05 * t, 1 + 0.02 * t
        turn = scale * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        frames.append(face @ turn.T + [100 + 2 * t, 100 - t])
    return np.array(frames)


def named(points, encodings=None):
    encodings = np.zeros((0, 128)) if encodings is None else encodings
    return dict(
        zip(track_feature_names(), track_features(points, encodings), strict=True)
    )


def test_rigid_motion_is_no_jitter(moving_face):
    found = named(moving_face)
    for part in ("jaw", "brows", "nose", "eyes", "mouth"):
        assert found[f"jitter_{part}_mean"] < 1e-9
    assert found["turn_apart_mean"] < 1e-9
    assert found["scale_apart_mean"] < 1e-9


def test_a_trembling_mouth_is_seen_where_it_is(moving_face):
    shaken = moving_face.copy()
    shaken[:, 48:68] += np.random.default_rng(1).normal(0, 2, (12, 20, 2))
    found, still = named(shaken), named(moving_face)
    assert found["jitter_mouth_mean"] > still["jitter_mouth_mean"] + 0.01
    assert found["jitter_eyes_mean"] < found["jitter_mouth_mean"] / 10


def test_a_jaw_that_turns_apart_is_seen(moving_face):
    odd = moving_face.copy()
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for frame in odd[6:]:
        centre = frame[:17].mean(0)
        frame[:17] = (frame[:17] - centre) @ turn.T + centre
    assert named(odd)["turn_apart_mean"] > 0.05


def test_a_blink_and_a_yawn_are_measured(moving_face):
    points = moving_face.copy()
    for eye in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[5, eye[0]] = points[5, eye[1]]
    points[8, 66] = points[8, 62] + [0, 80]
    found, before = named(points), named(moving_face)
    assert found["eye_opening_low"] <= before["eye_opening_low"]
    assert found["mouth_opening_step"] > before["mouth_opening_step"]


def test_wandering_identity_is_measured():
    points = np.random.default_rng(0).normal(100, 20, (3, 68, 2))
    draw = np.random.default_rng(2)
    same = np.repeat(draw.normal(0, 0.1, (1, 128)), 6, axis=0)
    other = same + draw.normal(0, 0.05, same.shape)
    assert named(points, same)["identity_mean"] == pytest.approx(0, abs=1e-9)
    assert named(points, other)["identity_mean"] > 0.3
    assert np.isnan(named(points)["identity_mean"])


@pytest.mark.slow
def test_real_clips_are_measured_and_trees_come_back(shared, tmp_path):
    from base_models import list_videos

    clips = list_videos(shared / "data/clips/real")[:8]
    detector = GeometryDetector(
        n_frames=6, n_encodings=2, random_state=0, store=tmp_path
    )
    y = np.arange(8) % 2
    detector.fit(clips, y)
    assert not detector.unscorable_
    store = resolve_store(tmp_path)
    view = Views(clips[:1], detector.recipe_, store)[0]
    features = detector._features(view, store)
    assert features.shape == (1, len(detector.feature_names_))
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_array_equal(again.fake_score(clips), detector.fake_score(clips))


def test_the_member_of_the_readme_works(bright, tmp_path):
    import base_models

    readme = Path(base_models.__file__).with_name("README.md").read_text("utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    assert code.count("\n") <= 45
    space = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), space)
    videos, y, _ = bright
    detector = space["ColourDetector"](store=tmp_path).fit(videos[:16], y[:16])
    assert (detector.predict(videos[16:]) == y[16:]).all()
