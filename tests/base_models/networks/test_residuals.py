"""Networks that see the noise of an image and not its colours."""

import cv2
import numpy as np
import pytest
import torch
from sklearn.base import clone

from base_models import FrameDetector, TrainingRecipe, export_onnx
from base_models.backbones import backbone_recipe
from base_models.export.heat_maps import heat_maps
from base_models.networks.residuals import FILTERS, motion_residual, noise_residual

NOISE = FrameDetector(
    "test_resnet", "frame", "head", None, 32, "residual", n_frames=2, n_threads=1,
    random_state=0,
)  # fmt: skip


def as_tensor(image):
    return torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None]


def test_residuals_are_those_of_opencvs_filters():
    image = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)
    found = noise_residual(as_tensor(image))[0].numpy()
    luma = image.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
    for kernel, plane in zip(FILTERS, found, strict=True):
        residual = cv2.filter2D(luma, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(plane, 1.5 * np.tanh(residual / 6), atol=1e-4)


def test_slow_changes_leave_no_residual_and_noise_does():
    rows, columns = np.mgrid[:32, :32]
    ramp = np.repeat((60 + 2.0 * rows + columns)[..., None], 3, axis=2)
    inner = noise_residual(as_tensor(ramp))[..., 2:-2, 2:-2]
    assert inner.abs().max() < 1e-3
    grainy = ramp + np.random.default_rng(0).normal(0, 3, ramp.shape)
    assert noise_residual(as_tensor(grainy)).std() > 0.2


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("train", ["head", "full"])
def test_a_network_of_noise_learns_what_colours_do_not_show(train):
    draw = np.random.default_rng(0)
    strengths = np.repeat([[2.0], [8.0]], 12, axis=1).T.ravel()  # real, fake, real, ...
    y = strengths > 5
    videos = [
        np.clip(draw.uniform(60, 190) + draw.normal(0, s, (4, 32, 32, 3)), 0, 255)
        for s in strengths
    ]
    videos = [video.astype(np.uint8) for video in videos]
    detector = clone(NOISE).set_params(train=train, epochs=6, augment=False)
    assert str(detector) == "test_resnet_frame_residual"
    score = detector.fit(videos[:16], y[:16]).fake_score(videos[16:])
    assert score[y[16:]].min() > score[~y[16:]].max()


@pytest.mark.slow
def test_features_of_noise_and_of_colours_do_not_mix(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    noise = clone(NOISE).set_params(store=tmp_path).fit(videos, y)
    colours = clone(noise).set_params(channels="rgb").fit(videos, y)
    alone = clone(colours).set_params(store=tmp_path / "other").fit(videos, y)
    np.testing.assert_array_equal(colours.fake_score(videos), alone.fake_score(videos))
    assert np.abs(noise.fake_score(videos) - alone.fake_score(videos)).max() > 0.01


def test_residuals_are_inside_an_exported_file(toy_videos, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    videos, y, _ = toy_videos
    detector = clone(NOISE).set_params(engine="torch").fit(videos, y)
    card = export_onnx(detector, tmp_path / "net.onnx")
    assert "residuals" in card["preprocessing_inside"]
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        logits = detector.module_(detector._preprocess(torch.tensor(images)))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (found,) = session.run(["fake"], {"images": images})
    np.testing.assert_allclose(found, logits.softmax(1)[:, 1], atol=1e-5)


def test_unknown_channels_are_refused():
    with pytest.raises(
        ValueError, match="channels must be 'rgb', 'residual' or 'motion'"
    ):
        clone(NOISE).set_params(channels="noise").fit(["a.mp4", "b.mp4"], [0, 1])
    with pytest.raises(ValueError, match="got 'hsv'"):
        backbone_recipe("resnet18", channels="hsv")


MOTION = clone(NOISE).set_params(channels="motion", n_frames=3)


@pytest.fixture(scope="module")
def moving():
    """24 clips of one picture each; in every second one it trembles, else it drifts."""
    draw, y = np.random.default_rng(0), np.arange(24) % 2
    pictures = draw.integers(0, 256, (24, 32, 32, 3), np.uint8)
    pictures = [cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in pictures]
    steps = [[0, 1, 2, 3, 4, 5, 6], [0, 1, 0, 1, 0, 1, 0]]
    videos = [
        np.stack([np.roll(picture, step, axis=1) for step in steps[label]])
        for picture, label in zip(pictures, y, strict=True)
    ]
    return videos, y


def test_changes_are_those_of_the_brightness():
    clip = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), np.uint8)
    found = motion_residual(torch.tensor(clip).permute(0, 3, 1, 2)[None].float())[0]
    before, now, after = clip.astype(float) @ [0.299, 0.587, 0.114]
    changes = now - before, after - now, (after - 2 * now + before) / 2
    np.testing.assert_allclose(found, 1.5 * np.tanh(np.array(changes) / 6), atol=1e-4)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("train", ["head", "last_stage", "full"])
def test_a_network_of_motion_learns_what_no_frame_shows(moving, train):
    videos, y = moving
    detector = clone(MOTION).set_params(train=train, epochs=8, augment=False)
    assert str(detector) == "test_resnet_frame_motion"
    detector.fit(videos[:16], y[:16])
    score = detector.fake_score(videos[16:])
    assert score[y[16:] == 1].min() > score[y[16:] == 0].max()
    again = clone(detector).set_state(*detector.get_state())
    np.testing.assert_allclose(again.fake_score(videos[16:]), score, atol=1e-6)


@pytest.mark.slow
def test_it_trains_on_pseudo_fakes_and_mixtures_of_clips(moving):
    videos, y = moving
    recipe = TrainingRecipe(mixup=0.5, validation=0.3, pairs=True)
    detector = clone(MOTION).set_params(train="full", epochs=1, recipe=recipe)
    reals = [video for video, label in zip(videos, y, strict=True) if not label]
    detector.fit(reals, [0] * 12)
    assert "validation_pseudo_auc" in detector.history_[0]
    detector.set_params(pseudo_fakes=True).fit(videos, y, groups=np.arange(24) // 2)
    assert np.isfinite(detector.fake_score(videos)).all()


@pytest.mark.slow
def test_motion_is_inside_an_exported_file_and_has_heat_maps(moving, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    detector = clone(MOTION).set_params(engine="torch").fit(*moving)
    card = export_onnx(detector, tmp_path / "net.onnx")
    assert card["input"]["shape"] == ["n_images", 3, 32, 32, 3]
    assert "3 in a row" in card["images"]["frames"]
    clips = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        logits = detector.module_(detector._preprocess(torch.tensor(clips)))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (found,) = session.run(["fake"], {"images": clips})
    np.testing.assert_allclose(found, logits.softmax(1)[:, 1], atol=1e-5)
    pytest.importorskip("captum")
    assert heat_maps(detector, clips).shape == (3, 32, 32)
