"""What is named as a video is the only file that is opened."""

import struct

import av
import numpy as np
import pytest
from PIL import Image

from base_models.errors import CheckpointError, VideoReadError
from base_models.video import (
    iter_frames,
    probe_video,
    sample_frames,
    video_digest,
    write_video,
)
from base_models.video.quality import estimate_qp

MPD = """<?xml version="1.0"?>
<!-- a clip -->
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">
<BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""
LISTS = {
    "HLS": (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{secret}\n"
        "#EXT-X-ENDLIST\n"
    ),
    "for FFmpeg to join": "ffconcat version 1.0\nfile '{name}'\n",
    "SDP": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "DASH": MPD,
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A video that nobody named."""
    path = tmp_path_factory.mktemp("secret") / "secret.ts"
    frames = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ts", "sdp", "mpd", "txt", "jpg"])
@pytest.mark.parametrize("what", LISTS)
def test_a_list_of_other_files_is_refused_whatever_its_name(
    what, suffix, secret, tmp_path
):
    path = secret.with_name(f"list.{suffix}")  # beside it: relative names would work
    path.write_text(LISTS[what].format(secret=secret, name=secret.name))
    for read in (sample_frames, probe_video, estimate_qp, lambda p: [*iter_frames(p)]):
        with pytest.raises(
            VideoReadError, match=rf"{what}.*leads to other files.*give"
        ):
            read(path)


def test_a_list_is_what_plain_ffmpeg_would_follow(secret):
    """Else the test above could not fail."""
    for name, what in {"hls.m3u8": "HLS", "join.mp4": "for FFmpeg to join"}.items():
        path = secret.with_name(name)
        path.write_text(LISTS[what].format(secret=secret, name=secret.name))
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)) is not None


def test_a_name_with_a_pattern_is_that_file_and_no_series(tmp_path):
    for number in range(3):
        image = np.full((32, 32, 3), 80 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"img{number:03d}.png")
    with pytest.raises(VideoReadError, match="No such file"):
        sample_frames(tmp_path / "img%03d.png")
    Image.fromarray(image).save(tmp_path / "img%03d.png")
    assert len(sample_frames(tmp_path / "img%03d.png")) == 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "tif", "gif"])
def test_a_lone_image_is_a_video_of_one_frame(suffix, tmp_path):
    image = np.full((32, 48, 3), 90, np.uint8)
    Image.fromarray(image).save(tmp_path / f"lone.{suffix}")
    (frame,) = sample_frames(tmp_path / f"lone.{suffix}")
    np.testing.assert_allclose(frame, image, atol=3)


@pytest.mark.parametrize(
    "name",
    [
        "concat:{secret}|{secret}",
        "subfile,,start,0,end,0,,:{secret}",
        "crypto:{secret}",
        "data:video/mp4;base64,AAAA",
        "rtsp://127.0.0.1/live",
        "pipe:0",
    ],
)
def test_what_only_ffmpeg_opens_is_no_file_and_is_not_opened(name, secret):
    name = name.format(secret=secret)
    for read in (sample_frames, probe_video, video_digest):
        with pytest.raises(VideoReadError, match="protocol|written like an address"):
            read(name)


def test_a_file_may_be_called_like_an_address(tmp_path, monkeypatch, secret):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "concat:a|b.ts").write_bytes(secret.read_bytes())
    assert len(sample_frames("concat:a|b.ts", 3)) == 3


def _boxes(content):
    """Yield (kind, where it begins, where it ends) of the boxes of an MP4 file."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        yield kind, at, at + size
        at += size


def _changed(content, path, change):
    """Replace the box at a path of kinds, and correct the sizes of those around it."""
    for kind, begin, end in _boxes(content):
        if kind == path[0]:
            body = content[begin + 8 : end]
            body = _changed(body, path[1:], change) if path[1:] else change(body)
            box = struct.pack(">I4s", len(body) + 8, kind) + body
            return content[:begin] + box + content[end:]
    raise LookupError(path)


def _reference_to(name):
    """The body of a ``dref`` box with one alias, to a file in the same folder."""
    encoded = str(name).encode()
    record = struct.pack(">IHH", 0, 150 + 4 + len(encoded) + 4, 2)
    alias = b"\0" * 10 + bytes([6]) + b"volume".ljust(27, b"\0") + b"\0" * 12
    alias += bytes([len(encoded)]) + encoded.ljust(63, b"\0") + b"\0" * 16
    alias += struct.pack(">HH", 1, 1) + b"\0" * 16
    padded = encoded + b"\0" * (len(encoded) % 2)
    alias += struct.pack(">HH", 2, len(encoded)) + padded
    alias += struct.pack(">HH", 0xFFFF, 0) + b"\0" * 16
    record = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    return struct.pack(">II", 0, 1) + record


def test_a_movie_that_keeps_its_pictures_in_another_file_has_none(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 48, 64, 3), np.uint8)
    write_video(tmp_path / "secret.mp4", frames)
    content = (tmp_path / "secret.mp4").read_bytes()
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    moved = _changed(content, boxes, lambda _: _reference_to("/secret.mp4"))
    kinds = [kind for kind, *_ in _boxes(moved)]
    if kinds.index(b"mdat") < kinds.index(b"moov"):  # its place is that of the secret
        moved = _changed(moved, (b"mdat",), lambda body: b"\0" * len(body))
    path = tmp_path / "outside.mov"
    path.write_bytes(moved)
    with av.open(str(path), container_options={"enable_drefs": "1"}) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6  # it could be read
    with pytest.raises(VideoReadError):
        sample_frames(path, 2)


h5py = pytest.importorskip("h5py")


def _weights(path, **more):
    """An HDF5 file with one honest array in it."""
    with h5py.File(path, "w") as file:
        file["conv2d/kernel:0"] = np.zeros((3, 3, 3, 8), np.float32)
    return h5py.File(path, "a")


def _external(file, secret):
    place = [(str(secret), 0, 8 * 4)]
    file.create_dataset("conv2d/bias:0", (8,), "f4", external=place)


def _virtual(file, secret):
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource(str(secret) + ".h5", "x", (8,))
    file.create_virtual_dataset("conv2d/bias:0", layout)


def _link(file, secret):
    file["conv2d/bias:0"] = h5py.ExternalLink(str(secret) + ".h5", "x")


def _link_above(file, secret):
    file["conv2d_2"] = h5py.ExternalLink(str(secret) + ".h5", "/")


def _soft(file, secret):
    file["conv2d/bias:0"] = h5py.SoftLink("/conv2d/kernel:0")


def _huge(file, secret):
    file.create_dataset("conv2d/bias:0", (10**12,), "f4", chunks=(10**6,))


def _text(file, secret):
    file["conv2d/bias:0"] = "text"


@pytest.mark.parametrize(
    "spoil", [_external, _virtual, _link, _link_above, _soft, _huge, _text]
)
def test_keras_weights_outside_their_file_are_refused_before_any_read(
    spoil, tmp_path, monkeypatch
):
    from base_models.checkpoints import read_state_dict

    secret = tmp_path / "secret"
    secret.write_bytes(b"password" * 4)
    with h5py.File(f"{secret}.h5", "w") as file:
        file["x"] = np.arange(8, dtype=np.float32)
    with _weights(tmp_path / "Meso4_DF.h5") as file:
        spoil(file, secret)
    reads = []
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *a: reads.append(a))
    with pytest.raises(CheckpointError, match=r"bias:0|conv2d_2.*nothing was read"):
        read_state_dict(tmp_path / "Meso4_DF.h5")
    assert reads == []


def test_raw_pictures_are_no_boxes_of_a_movie(tmp_path):
    path = tmp_path / "a.y4m"
    header = b"YUV4MPEG2 W16 H16 F25:1 Ip A0:0 C420jpeg\n"
    picture = b"FRAME\n" + b"stts" + bytes([255] * (384 - 4))
    path.write_bytes(header + 3 * picture)
    assert sample_frames(path).shape == (3, 16, 16, 3)
