"""Folders of frames are videos."""

import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from little_videos import counting_frames, four_colours, numbers
from PIL import Image

from base_models.video import (
    VideoReadError,
    image_folders,
    iter_frames,
    probe_video,
    sample_frames,
    video_digest,
    write_video,
)
from base_models.video.quality import estimate_qp


def test_a_folder_of_images_is_read_in_natural_order(frame_folder):
    frames, indices = sample_frames(frame_folder, None, return_indices=True)
    assert numbers(frames) == indices.tolist() == list(range(12))
    assert numbers(sample_frames(frame_folder, 3)) == [0, 6, 11]
    assert numbers(np.stack(list(iter_frames(frame_folder)))) == list(range(12))
    info = probe_video(frame_folder)
    assert (info.n_frames, info.height, info.width) == (12, 48, 64)


def test_images_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), four_colours()[:, :, ::-1])
    np.testing.assert_array_equal(sample_frames(tmp_path, 1)[0], four_colours())


def test_a_broken_image_is_passed_over_and_another_size_scaled(frame_folder):
    (frame_folder / "1.png").write_bytes(b"broken")
    (frame_folder / "7.png").write_bytes(b"")
    cv2.imwrite(str(frame_folder / "3.png"), counting_frames(3, 96, 128)[2])
    frames, indices = sample_frames(frame_folder, None, return_indices=True)
    assert frames.shape == (10, 48, 64, 3)
    assert numbers(frames) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert indices.tolist() == list(range(10))
    assert numbers(sample_frames(frame_folder, 3)) == [1, 5, 11]


def test_what_the_file_system_refuses_is_named(frame_folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = write_video(frame_folder.parent / "a.mp4", counting_frames(3))
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(VideoReadError, match=r"a\.mp4: Permission denied; check"):
        video_digest(path)
    with pytest.raises(VideoReadError, match=r"1\.png: Permission denied"):
        sample_frames(frame_folder)
    with pytest.raises(VideoReadError, match="null"):
        sample_frames("a\0.mp4")


def test_a_folder_of_broken_images_is_an_error(tmp_path):
    (tmp_path / "1.png").write_bytes(b"broken")
    for read in [sample_frames, lambda v: list(iter_frames(v)), probe_video]:
        with pytest.raises(VideoReadError, match="decoded"):
            read(tmp_path)


def test_no_room_is_made_for_a_chunk_that_a_png_does_not_hold(tmp_path, monkeypatch):
    content = bytearray(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1])
    at = content.index(b"IDAT") - 4
    content[at] = 0x40  # a gigabyte
    (tmp_path / "1.png").write_bytes(content)

    def refuse(*_):
        raise AssertionError("it was given to the decoder")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(VideoReadError, match="none of its images can be decoded"):
        sample_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_an_image_is_what_a_folder_with_nothing_else_is(suffix, tmp_path):
    name = f"folder/a.{suffix}"
    (tmp_path / "folder").mkdir()
    cv2.imwrite(str(tmp_path / name), counting_frames(4, 96, 128)[3] + 40)
    (frame,) = sample_frames(tmp_path / name)
    np.testing.assert_array_equal(frame, sample_frames(tmp_path / "folder")[0])
    np.testing.assert_array_equal(frame, np.array(Image.open(tmp_path / name)))
    ((again, seconds),) = iter_frames(tmp_path / name, return_times=True)
    np.testing.assert_array_equal(frame, again)
    assert seconds is None
    info = probe_video(tmp_path / name)
    assert (info.n_frames, info.width, info.height) == (1, 128, 96)
    assert (info.fps, info.seconds, info.codec, info.bit_rate) == (None,) * 4
    assert math.isnan(estimate_qp(tmp_path / name))


def test_an_image_is_upright_and_a_broken_one_is_named(tmp_path):
    image = Image.fromarray(four_colours())
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    turned = sample_frames(tmp_path / "turned.png")[0]
    np.testing.assert_array_equal(turned, np.rot90(four_colours(), -1))
    content = (tmp_path / "turned.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(content[:40])
    with pytest.raises(VideoReadError, match=r"broken\.png.*image cannot be decoded"):
        sample_frames(tmp_path / "broken.png")


def test_an_animated_image_is_a_video(tmp_path):
    frames = [Image.fromarray(frame) for frame in counting_frames(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert numbers(sample_frames(tmp_path / "a.png")) == [0, 1, 2]
    assert probe_video(tmp_path / "a.png").fps


def _pages(path, n_pages, **options):
    page, *others = [Image.new("RGB", (16, 16), (9 * n, 0, 0)) for n in range(n_pages)]
    page.save(path, save_all=bool(others), append_images=others, **options)
    return path


def test_an_image_of_several_pictures_says_that_one_was_looked_at(tmp_path):
    pages = _pages(tmp_path / "pages.tiff", 3)
    said = "it holds several pictures, and the first was looked at"
    assert probe_video(pages).cut_short == said
    assert probe_video(_pages(tmp_path / "page.tiff", 1)).cut_short == ""
    # Animated PNG are videos, unless so much stands before that they look still.
    moving = _pages(tmp_path / "moving.png", 3)
    assert probe_video(moving).n_frames == 3
    late = _pages(tmp_path / "late.png", 3, icc_profile=os.urandom(8000))
    assert (probe_video(late).n_frames, probe_video(late).cut_short) == (1, said)
    os.mkdir(tmp_path / "frames")
    _pages(tmp_path / "frames" / "1.tif", 1)
    _pages(tmp_path / "frames" / "2.tif", 2)
    of_folder = probe_video(tmp_path / "frames").cut_short
    assert of_folder == f"1 of 2 images: {said.removeprefix('it holds ')}"


@pytest.mark.parametrize("kind", ["webp", "gif", "png", "avif"])
def test_animated_images_of_a_folder_are_told(tmp_path, kind):
    if kind == "avif":
        pytest.importorskip("PIL._avif")
    ending = kind if kind == "webp" else "png"  # the others by their content alone
    for n_pages in (1, 3):
        folder = tmp_path / f"{n_pages} pictures"
        folder.mkdir()
        for number in range(2):
            _pages(folder / f"{number}.{ending}", n_pages, format=kind)
    said = "2 of 2 images: several pictures, and the first was looked at"
    assert probe_video(tmp_path / "3 pictures").cut_short == said
    assert probe_video(tmp_path / "1 pictures").cut_short == ""


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_an_image_that_lets_through_what_is_behind_it_says_so(tmp_path, suffix):
    colours = np.full((32, 32, 4), 255, np.uint8)
    path = tmp_path / f"image{suffix}"
    Image.fromarray(colours).save(path, lossless=True)
    assert probe_video(path).cut_short == ""  # opaque everywhere
    colours[:9, :9, 3] = 0
    Image.fromarray(colours).save(path, lossless=True)
    said = "transparent parts, whose colours were looked at as if they were shown"
    assert probe_video(path).cut_short == f"it holds {said}"


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_with_an_alpha_mask_may_be_transparent(tmp_path, alpha):
    path = tmp_path / "image.bmp"
    cv2.imwrite(str(path), np.full((16, 16, 4), alpha, np.uint8))
    assert ("transparent parts" in probe_video(path).cut_short) == (alpha == 0)


def test_a_palette_with_a_colour_that_is_not_shown_is_transparent(tmp_path):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "image.png")
    assert probe_video(tmp_path / "image.png").cut_short == ""
    image.save(tmp_path / "image.png", transparency=0)
    assert "transparent parts" in probe_video(tmp_path / "image.png").cut_short


@pytest.mark.parametrize(("alpha", "is_told"), [(1.0, False), (0.5, True)])
def test_a_tiff_of_floats_has_opaque_pixels_at_one(tmp_path, alpha, is_told):
    pixels = np.full((16, 16, 4), 0.5, np.float32)
    pixels[..., 3] = alpha
    path = tmp_path / "image.tiff"
    cv2.imwrite(str(path), pixels)
    encoded = path.read_bytes()
    assert image_folders._is_transparent(path, encoded, (16, 16)) == is_told
