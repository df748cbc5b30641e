"""Folders of frames are videos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from little_videos import counting_frames, four_colours, numbers

from base_models.video import (
    VideoReadError,
    iter_frames,
    probe_video,
    sample_frames,
    video_digest,
    write_video,
)


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
