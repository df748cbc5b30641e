"""Videos of a folder, their names and digests."""

import os
import shutil
from pathlib import Path
from stat import S_ISDIR

import av
import pytest
from little_videos import counting_frames

from base_models.video import (
    VIDEO_SUFFIXES,
    VideoReadError,
    iter_frames,
    list_videos,
    paths as video_paths,
    sample_frames,
    video_digest,
    video_id,
    write_video,
)
from base_models.video.paths import frame_images


def test_videos_are_listed_recursively_and_frame_folders_count_as_one(tmp_path):
    for name in [
        "b.MP4", "real/a.avi", "real/deep/c.webm", "real/thumbnail.jpg", "notes.txt",
        "fake/x/1.png", "fake/x/2.png", ".hidden/d.mp4", "real/._a.avi", "empty/z.txt",
    ]:  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=r"files left out, .*: 1 \.jpg\."):
        videos = list_videos(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in videos]
    assert names == ["b.MP4", "fake/x", "real/a.avi", "real/deep/c.webm"]
    with pytest.raises(NotADirectoryError, match="not a folder"):
        list_videos(tmp_path / "missing")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_a_folder_lists_what_opens_by_its_path(tmp_path, suffix):
    for name in (f"a{suffix}", f"b{suffix.upper()}", "notes.txt"):
        (tmp_path / name).touch()
    assert [video.name for video in list_videos(tmp_path)] == [
        f"a{suffix}", f"b{suffix.upper()}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".3gp", "mpeg4"), (".ts", "libx264"), (".mts", "libx264"), (".gif", "gif"),
        (".mxf", "mpeg2video"), (".y4m", "wrapped_avframe"), (".vob", "mpeg2video"),
        (".f4v", "libx264"),
    ],
)  # fmt: skip
def test_what_a_folder_lists_can_be_read(tmp_path, suffix, codec):
    with av.open(str(tmp_path / f"a{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = "rgb8" if suffix == ".gif" else "yuv420p"
        for image in counting_frames(5, 64, 64):
            frame = av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (video,) = list_videos(tmp_path)
    assert sample_frames(video, 2).shape == (2, 64, 64, 3)


def test_source_code_is_no_transport_stream_and_is_counted(tmp_path):
    (tmp_path / "index.ts").write_text("export const x = 1;")
    (tmp_path / "b.mp4").touch()
    (tmp_path / "odd.xyz").touch()
    with pytest.warns(UserWarning, match="files left out.*1 .ts, 1 .xyz"):
        assert [video.name for video in list_videos(tmp_path)] == ["b.mp4"]


def test_a_link_keeps_its_name_and_follows_its_content(tmp_path):
    blobs = [tmp_path / "blobs" / name for name in ("3fa9c2", "77b1e0")]
    blobs[0].parent.mkdir()
    for blob, n_frames in zip(blobs, (3, 5), strict=True):
        write_video(tmp_path / "new.mp4", counting_frames(n_frames)).rename(blob)
        os.utime(blob, ns=(0, 0))
    link = tmp_path / "id0_0001.mp4"
    link.symlink_to(blobs[0])
    assert video_id(link) == str(link)
    assert video_digest(link) == video_digest(blobs[0])
    assert len(list(iter_frames(link))) == 3
    link.unlink()
    link.symlink_to(blobs[1])
    assert video_digest(link) == video_digest(blobs[1]) != video_digest(blobs[0])


def test_ids_tell_videos_of_one_name_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert video_id("a/clip.mp4") == str(tmp_path / "a" / "clip.mp4")
    assert video_id("a/clip.mp4") != video_id("b/clip.mp4")
    array = counting_frames(3)
    assert video_id(array) == f"array-{video_digest(array)[:12]}"


def test_digests_follow_content_and_nothing_else(tmp_path, frame_folder):
    path = write_video(tmp_path / "a.mp4", counting_frames(5))
    before = video_digest(path)
    assert video_digest(shutil.copy(path, tmp_path / "copy.mp4")) == before
    os.utime(path, ns=(0, 0))
    assert video_digest(path) == before
    path.write_bytes(path.read_bytes() + b"x")
    assert video_digest(path) != before

    whole = video_digest(frame_folder)
    (frame_folder / "12.png").rename(frame_folder / "13.png")
    renamed = video_digest(frame_folder)
    assert renamed != whole

    array = counting_frames(4)
    assert video_digest(array[:, ::-1][:, ::-1]) == video_digest(array)
    assert video_digest(array.reshape(4, 64, 48, 3)) != video_digest(array)


def test_a_file_is_hashed_once(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", counting_frames(5))
    digest = video_digest(path)
    monkeypatch.setattr(video_paths.hashlib, "sha256", None)
    assert video_digest(path) == digest


def test_folders_that_links_lead_to_by_many_ways_are_listed_once(tmp_path):
    """2 ** 30 paths lead to one clip."""
    for number in range(31):
        (tmp_path / f"{number:02}").mkdir()
    for number in range(30):
        for name in "ab":
            (tmp_path / f"{number:02}" / name).symlink_to(tmp_path / f"{number + 1:02}")
    (tmp_path / "30" / "clip.mp4").touch()
    first = tmp_path / "00"
    assert list_videos(first) == [first.joinpath(*"a" * 30, "clip.mp4")]
    assert len(list_videos(tmp_path)) == 1


def test_a_folder_that_may_be_listed_and_not_entered_ends_no_run(tmp_path, monkeypatch):
    """Nothing is kept from root, as whom tests may run: rights are acted."""
    (tmp_path / "locked").mkdir()
    for name in ("a.mp4", "locked/1.png"):
        (tmp_path / name).touch()
    real = Path.stat

    def refused(self, **options):
        if self.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setattr(Path, "lstat", lambda self: refused(self))
    monkeypatch.setattr(Path, "is_dir", lambda self: S_ISDIR(self.stat().st_mode))
    assert list_videos(tmp_path) == [tmp_path / "a.mp4", tmp_path / "locked"]
    with pytest.raises(VideoReadError, match="locked: Permission denied"):
        frame_images(tmp_path / "locked")
