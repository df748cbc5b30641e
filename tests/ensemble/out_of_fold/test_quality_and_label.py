"""What a stream says of its quality adds nothing to a score, whatever goes with it."""

import warnings

import av
import cv2
import numpy as np
import pytest

from base_models import FlickerDetector, FrameDetector, FrequencyDetector, write_video
from base_models.video import sample_frames
from base_models.video.quality import estimate_qp
from ensemble import DeepfakeEnsemble

N_TRAINED, N_VIDEOS = 12, 16


def moving_scene(draw, is_fake):
    """A texture that moves on evenly; of a fake its middle trembles."""
    scene = cv2.blur(draw.integers(0, 256, (96, 96, 3), np.uint8), (5, 5))
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    frames = np.stack([scene[16:80, 16 + t : 80 + t] for t in range(12)])
    if is_fake:
        steps = draw.integers(-3, 4, (len(frames), 2))
        middles = [
            np.roll(f[16:48, 16:48], s, (0, 1))
            for f, s in zip(frames, steps, strict=True)
        ]
        frames[:, 16:48, 16:48] = middles
    return frames


def without_loss(path, out):
    """Encode the pictures of a file again, each value as it is: its quantiser is 0."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        old = source.streams.video[0]
        stream = target.add_stream(
            "libx264", rate=old.average_rate, options={"qp": "0", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = old.width, old.height, "yuv420p"
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, getattr(old.codec_context, name))
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return str(out)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Files of strong compression, and files without loss of the same pictures."""
    folder = tmp_path_factory.mktemp("twins")
    coarse, fine = [], []
    for number in range(N_VIDEOS):
        draw = np.random.default_rng(number)
        path = folder / f"coarse{number}.mp4"
        write_video(path, moving_scene(draw, number % 2), crf=40)
        coarse.append(str(path))
        fine.append(without_loss(path, folder / f"fine{number}.mp4"))
    return coarse, fine


def fitted(videos, y, store):
    members = {
        "frequency": FrequencyDetector("frame", image_size=64, n_frames=4),
        "flicker": FlickerDetector("frame", image_size=64, n_frames=4),
        "network": FrameDetector(
            "test_resnet", "frame", "head", None, image_size=64, n_frames=4
        ),
    }
    rows = np.arange(N_TRAINED)
    splits = [(rows[rows % 4 < 2], rows[rows % 4 > 1])]
    splits.append(splits[0][::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few videos
        model = DeepfakeEnsemble(
            members, resampling=splits, calibration=None, random_state=0, store=store
        )
        return model.fit(videos, y, groups=rows)


@pytest.mark.slow
def test_the_twins_differ_in_what_they_say_of_themselves_alone(twins):
    for coarse, fine in zip(*twins, strict=True):
        np.testing.assert_array_equal(sample_frames(coarse)[0], sample_frames(fine)[0])
        assert estimate_qp(fine) < 1
        assert estimate_qp(coarse) > 25


@pytest.mark.slow
def test_where_quality_goes_with_the_label_scores_are_as_where_it_does_not(
    twins, tmp_path
):
    coarse, fine = twins
    y = np.arange(N_VIDEOS) % 2
    telling = [coarse[i] if y[i] else fine[i] for i in range(N_VIDEOS)]
    train = slice(N_TRAINED)
    told = fitted(telling[train], y[train], tmp_path)
    plain = fitted(fine[train], y[train], tmp_path)
    np.testing.assert_array_equal(told.fake_score(coarse), told.fake_score(fine))
    # other files stand in another order, of which sums and solvers know
    np.testing.assert_allclose(
        told.fake_score(coarse), plain.fake_score(coarse), atol=2e-3
    )
    np.testing.assert_allclose(told.oof_scores_, plain.oof_scores_, atol=2e-3)
    score = told.fake_score(fine[N_TRAINED:])
    assert score[y[N_TRAINED:] == 1].min() > score[y[N_TRAINED:] == 0].max()
