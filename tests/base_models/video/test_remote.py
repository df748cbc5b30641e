"""Videos behind an address give what their copies on disk give, and nothing more."""

import hashlib
import pickle
import zipfile
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models import FrequencyDetector, clear_caches, score_videos
from base_models.errors import VideoReadError
from base_models.limits import reading_limits
from base_models.runtime.parallel import run_tasks
from base_models.runtime.remote import http_requests, reading
from base_models.video import (
    iter_frames,
    list_videos,
    probe_video,
    sample_frames,
    video_digest,
)
from base_models.video.packets import list_packets
from base_models.video.paths import existing, findable, hashed_once, video_id
from base_models.video.quality import estimate_qp

pytest_plugins = ["remote"]
MB = 2**20


@pytest.fixture(autouse=True)
def nothing_kept():
    clear_caches()


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """40 seconds of large frames, 24 MB: the same second again and again."""
    folder = tmp_path_factory.mktemp("long")
    noise = np.random.default_rng(0).integers(0, 256, (25, 144, 192, 3), np.uint8)
    with av.open(str(folder / "second.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "25", "qp": "14"}
        for image in noise:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    paths = {}
    for name, options in {
        "end.mp4": {},
        "front.mp4": {"movflags": "faststart"},
        "long.mkv": {},
    }.items():
        paths[name] = folder / name
        with (
            av.open(str(folder / "second.mp4")) as source,
            av.open(str(paths[name]), "w", options=options) as container,
        ):
            (video,) = source.streams.video
            stream = container.add_stream_from_template(video)
            second = [p for p in source.demux(video) if p.size]
            tick = second[1].pts - second[0].pts
            for number in range(1000):
                packet = second[number % 25]
                packet = _copy(packet, stream, number * tick, video.time_base)
                container.mux(packet)
    return paths


def _copy(packet, stream, at, time_base):
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base, copy.is_keyframe = (
        stream,
        time_base,
        packet.is_keyframe,
    )
    copy.pts = copy.dts = at
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["end.mp4", "front.mp4"])
def test_of_a_long_mp4_only_what_a_few_frames_need_is_sent(web, long_video, name):
    path = long_video[name]
    address = web.put(name, path.read_bytes())
    frames = sample_frames(address, 4)
    n_sent, size = web.served, path.stat().st_size
    assert size > 20 * MB
    assert n_sent < 4.5 * MB  # 4 seconds of 40, in blocks, and the index
    np.testing.assert_array_equal(frames, sample_frames(path, 4))
    assert probe_video(address).n_frames == 1000
    assert estimate_qp(address) == estimate_qp(path)
    table, local = list_packets(existing(address)), list_packets(path)
    for field in ("pts", "is_key", "is_shown"):
        np.testing.assert_array_equal(getattr(table, field), getattr(local, field))
    for field in ("is_damaged", "n_bytes", "seconds", "header_fps", "codec", "tags"):
        assert getattr(table, field) == getattr(local, field)


def test_a_matroska_file_is_sent_once_and_as_a_whole(web, long_video):
    path = long_video["long.mkv"]
    address = web.put("long.mkv", path.read_bytes())
    np.testing.assert_array_equal(sample_frames(address, 4), sample_frames(path, 4))
    assert probe_video(address).n_frames == 1000
    assert path.stat().st_size <= web.served < path.stat().st_size + 2 * MB


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.webm", "a.h264"]
)
def test_each_container_gives_what_its_copy_gives(web, tmp_path, name, ranges):
    path = encode(tmp_path / name, counting_frames(30))
    web.ranges = ranges
    address = web.put(name, path.read_bytes())
    frames, at = sample_frames(address, 5, return_indices=True)
    expected, expected_at = sample_frames(path, 5, return_indices=True)
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(at, expected_at)
    np.testing.assert_array_equal(list(iter_frames(address)), list(iter_frames(path)))
    info, local = vars(probe_video(address)), vars(probe_video(path))
    assert info | {"path": ""} == local | {"path": ""}
    assert info["path"] == address
    assert video_digest(address, in_full=True) == video_digest(path)


@pytest.mark.slow_after(5)
@pytest.mark.parametrize("options", [{"movflags": "frag_keyframe+empty_moov"}, {}])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "mpeg4"])
def test_an_index_tells_what_the_frames_themselves_tell(web, tmp_path, codec, options):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 10
        for image in counting_frames(40):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    address = web.put("a.mp4", path.read_bytes())
    table, local = list_packets(existing(address)), list_packets(path)
    np.testing.assert_array_equal(table.is_key, local.is_key)
    np.testing.assert_array_equal(table.pts, local.pts)
    assert (table.n_bytes, table.seconds) == (local.n_bytes, local.seconds)
    np.testing.assert_array_equal(sample_frames(address, 3), sample_frames(path, 3))


def test_an_image_has_an_address_too(web, tmp_path):
    import cv2

    path = tmp_path / "a.png"
    cv2.imwrite(str(path), counting_frames(1)[0])
    address = web.put("a.png", path.read_bytes())
    np.testing.assert_array_equal(sample_frames(address), sample_frames(path))
    assert probe_video(address).file_size == path.stat().st_size
    assert video_digest(address, in_full=True) == video_digest(path)


def test_files_of_this_machine_and_of_memory_have_addresses(tmp_path):
    path = encode(tmp_path / "a b.mp4", counting_frames(12))
    assert video_id(path.as_uri()) == video_id(path)
    assert video_digest(path.as_uri()) == video_digest(path)
    address = "memory://test_remote/a.mp4"
    with fsspec.open(address, "wb") as file:
        file.write(path.read_bytes())
    for each in (path.as_uri(), Path(path.as_uri()), address, Path(address)):
        np.testing.assert_array_equal(sample_frames(each, 3), sample_frames(path, 3))


def test_a_video_of_other_content_has_another_digest(web):
    address = web.put("a.mp4", b"one")
    digests = [video_digest(address)]
    web.put("a.mp4", b"two")  # of the same size
    digests.append(video_digest(address))
    web.etags, web.dates = False, True
    digests.append(video_digest(address))
    assert len(set(digests)) == 3
    assert web.served == 3  # the first byte, each time
    web.dates = False
    by_content = video_digest(address)  # of which the server says nothing
    web.put("a.mp4", b"one")
    assert video_digest(address) != by_content
    web.put("a.mp4", b"two")
    assert video_digest(address) == by_content


def test_a_change_is_seen_by_all_that_is_kept(web, tmp_path):
    for n in (10, 20):
        path = encode(tmp_path / "a.mp4", counting_frames(n))
        address = web.put("a.mp4", path.read_bytes())
        assert probe_video(address).n_frames == n
        np.testing.assert_array_equal(sample_frames(address, 4), sample_frames(path, 4))
        in_full = video_digest(address, in_full=True)
        assert in_full == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_server_is_asked_once_in_a_call(web, tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(12))
    address = web.put("a.mp4", path.read_bytes())
    with hashed_once([address]):
        for _ in range(3):
            video_digest(address), probe_video(address), sample_frames(address, 3)
    assert [wanted for _, wanted in web.asked].count("bytes=0-0") == 1
    web.etags = False  # so that the content must be read for its version
    web.forget()
    with hashed_once([address]):
        for _ in range(3):
            video_digest(address), probe_video(address), sample_frames(address, 3)
    assert [wanted for _, wanted in web.asked] == ["bytes=0-0", None]


def test_what_changes_while_it_is_read_is_an_error(web, long_video):
    content = long_video["end.mp4"].read_bytes()
    address = web.put("a.mp4", content)
    with hashed_once([address]):
        video_digest(address)
        web.put("a.mp4", content + b"more")
        with pytest.raises(VideoReadError, match="changed while it was read"):
            sample_frames(address, 3)


def test_a_server_that_stays_silent_is_not_waited_for(web, monkeypatch):
    monkeypatch.setattr(http_requests, "SILENCE", 0.2)
    address = web.put("a.mp4", b"content")
    web.delay = 1.0
    with pytest.raises(VideoReadError, match="did not answer in time"):
        sample_frames(address)


def test_a_head_that_never_ends_is_not_waited_for(web, monkeypatch):
    monkeypatch.setattr(http_requests, "_HEAD", 0.2)
    address = web.put("a.mp4", b"content")
    web.drips = True
    with pytest.raises(VideoReadError, match="did not answer in time"):
        sample_frames(address)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_video_in_an_archive_is_that_video(tmp_path, compression):
    path = encode(tmp_path / "a.mp4", counting_frames(12))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        archive.write(path, "a.mp4")
    address = f"zip://a.mp4::{tmp_path / 'a.zip'}"
    np.testing.assert_array_equal(sample_frames(address, 3), sample_frames(path, 3))
    assert video_digest(address, in_full=True) == video_digest(path)


def test_an_archive_that_unpacks_for_ever_is_left_when_its_time_is_up(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mkv", bytes(2**26))
    with (
        reading_limits(video_seconds=1e-6),
        pytest.raises(
            VideoReadError, match="fetching it takes longer than the 1e-06 s"
        ),
    ):
        sample_frames(f"zip://a.mkv::{tmp_path / 'a.zip'}")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "no such file"), (403, "refuses it .403"), (418, "answers 418")],
)
def test_what_a_server_refuses_is_said_with_its_address(web, status, reason):
    address = web.put("a.mp4", b"content")
    web.status["/a.mp4"] = status
    for read in (sample_frames, probe_video, video_digest):
        with pytest.raises(VideoReadError, match=f"{address}: .*{reason}"):
            read(address)


def test_servers_that_fail_in_the_middle_end_in_an_error(web, monkeypatch, long_video):
    monkeypatch.setattr(http_requests, "_PAUSES", (0, 0))
    address = web.put("a.mp4", long_video["end.mp4"].read_bytes())
    web.cut_after = 100_000
    for web.ranges in (True, False):
        clear_caches()
        with pytest.raises(VideoReadError, match="ended in the middle"):
            sample_frames(address, 3)
    with pytest.raises(VideoReadError, match="no connection"):
        sample_frames("http://127.0.0.1:9/a.mp4")


def test_web_pages_and_playlists_are_no_videos(web):
    page = web.put("a.mp4", b"<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(VideoReadError, match="web page"):
        sample_frames(page)
    web.kind = "text/html; charset=utf-8"
    with pytest.raises(VideoReadError, match="web page"):
        sample_frames(page)
    web.kind = "video/mp4"
    playlist = web.put("list.mp4", b"#EXTM3U\n#EXTINF:1,\na.mp4\n")
    with pytest.raises(VideoReadError, match="HLS playlist"):
        sample_frames(playlist)
    assert web.put("empty.mp4", b"")
    web.ranges = False
    with pytest.raises(VideoReadError, match="empty"):
        sample_frames(f"{web.address}/empty.mp4")


def test_secrets_are_in_no_name_and_no_error(web):
    where = web.address.removeprefix("http://")
    secrets = (
        "X-Amz-Signature=s3cret&X-Amz-Security-Token=s3cret&sig=s3cret&token=s3cret"
    )
    address = f"http://ann:s3cret@{where}/a.mp4?take=2&{secrets}"
    assert video_id(address) == f"http://{where}/a.mp4?take=2"
    with pytest.raises(VideoReadError) as raised:
        sample_frames(address)
    web.put("a.mp4", b"content")
    web.status["/a.mp4"] = 403
    with pytest.raises(VideoReadError) as refused:
        sample_frames(Path(address))
    for error in (
        raised.value,
        refused.value,
        pickle.loads(pickle.dumps(raised.value)),
    ):
        assert "s3cret" not in f"{error}{error.video}{error.reason}{error.args}"


@pytest.mark.parametrize("server", ["[bad", "127.0.0.1:port", "\u2100"])
def test_what_is_no_address_is_an_error_without_secrets(server):
    pytest.importorskip("aiohttp")
    with pytest.raises(VideoReadError) as raised:
        sample_frames(f"http://ann:s3cret@{server}/a.mp4")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("query", ["st=%d", "policy=%d", "expires=%d", "sig=%d&se=%d"])
def test_each_query_is_a_file_where_tags_are_not_of_the_content(web, tmp_path, query):
    web.tag = "65f0-1000"  # of time and size
    paths, addresses = [], []
    for number in (1, 2):
        frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
        frames //= number * 8
        paths.append(encode(tmp_path / f"{number}.y4m", frames, "wrapped_avframe"))
        name = "a.y4m?" + query.replace("%d", str(number))
        addresses.append(web.put(name, paths[-1].read_bytes()))
    assert paths[0].stat().st_size == paths[1].stat().st_size
    detector = FrequencyDetector(view="frame").fit(paths, [0, 1])
    scores, _ = score_videos({"d": detector}, addresses, store=tmp_path / "store")
    expected = [score_videos({"d": detector}, [path])[0][0] for path in paths]
    np.testing.assert_array_equal(scores, expected)
    assert expected[0] != expected[1]


def test_a_bucket_is_known_again_by_its_tag_when_signed_anew(web):
    signed = [
        web.put("a.mp4", b"content") + f"?X-Amz-Signature={number}" for number in (1, 2)
    ]
    assert video_digest(signed[0]) != video_digest(signed[1])
    web.more = {"x-amz-request-id": "0A"}
    assert video_digest(signed[0]) == video_digest(signed[1])
    web.tag = "1-2"  # no MD5
    assert video_digest(signed[0]) != video_digest(signed[1])


def test_a_missing_package_is_named(monkeypatch):
    with pytest.raises(VideoReadError, match="gcsfs"):
        sample_frames("gs://bucket/a.mp4")
    with pytest.raises(VideoReadError, match="no protocol.*watch"):
        sample_frames("rtsp://127.0.0.1/live")


def test_a_folder_behind_an_address_is_no_video():
    with fsspec.open("memory://test_folder/a.mp4", "wb") as file:
        file.write(b"content")
    with pytest.raises(VideoReadError, match="it is a folder"):
        sample_frames("memory://test_folder")


@pytest.mark.slow
def test_workers_open_addresses_themselves(web, tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(12))
    address = web.put("a.mp4", path.read_bytes())
    assert findable([address]) == [address]
    (_, frames), (_, more) = run_tasks(sample_frames, [(address, 3)] * 2, n_jobs=2)
    np.testing.assert_array_equal(frames, sample_frames(path, 3))
    np.testing.assert_array_equal(more, frames)


def test_no_room_on_the_disk_is_said_before_anything_is_read(web, monkeypatch):
    monkeypatch.setattr(reading, "_SPARE", 2**60)
    address = web.put("a.mkv", b"content")
    web.ranges = False
    with pytest.raises(VideoReadError, match="no room for it"):
        sample_frames(address)


def test_videos_below_an_address_are_listed():
    names = [
        "b.mp4",
        "c/a.MKV",
        "c/.hidden/x.mp4",
        "notes.txt",
        "frames/1.png",
        "a#1.mp4",
    ]
    for name in names:
        with fsspec.open(f"memory://test_list/{name}", "wb") as file:
            file.write(b"content")
    with pytest.warns(UserWarning, match=r"files left out, .*: 1 \.png"):
        found = list_videos("memory://test_list/")
    root = "memory://test_list"
    assert found == [f"{root}/a#1.mp4", f"{root}/b.mp4", f"{root}/c/a.MKV"]
    assert list_videos(Path("memory://test_list/c")) == [f"{root}/c/a.MKV"]
    with pytest.raises(
        NotADirectoryError, match="memory://test_list/d is not a folder"
    ):
        list_videos("memory://test_list/d")
    with pytest.raises(VideoReadError, match="lists no folders"):
        list_videos("https://127.0.0.1:9/folder/")


def test_a_server_that_leads_to_files_is_asked_once(web):
    address = web.put("clip.mp4", b"")
    web.status["/clip.mp4"] = 302
    web.more = {"Location": "file:///etc/hostname"}
    with pytest.raises(VideoReadError, match="leads to another address"):
        probe_video(address)
    assert len(web.asked) == 1
