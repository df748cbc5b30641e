"""Mutated videos: the right frames, or a reason that names the file.

Right are the frames of the undamaged video bit for bit, where nothing was changed. Of a
mutated one it is a `VideoReadError` that names it ("refused"), or frames within the
limits of size, memory and time, which damage may have changed ("read"; "read in part"
where some ways of reading it refuse). A tenth is read in another process too, with the
same outcome.
"""

import random
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from mutations import HEIGHT, MUTATIONS, WIDTH
from trials import each_in_process

from base_models import VideoReadError, reading_limits
from base_models.video.quality import estimate_qp
from base_models.video.reading import iter_frames, probe_video, sample_clips

MIB = 512  # what one may take, with readers in the process itself
LIMITS = {
    "video_pixels": 2**22,
    "video_frames": 2**16,
    "video_bytes": 2**28,
    "video_seconds": 10,
}
SECONDS = 5.0 * LIMITS["video_seconds"]  # each is looked at four times, some apart too
MOST = 64 * 2**20  # bytes of one: the memory that a larger one takes is the trial's own
N_FRAMES = 12
CLIPS = {  # file -> codec, format of pixels
    "a.mp4": ("libx264", "yuv420p"),
    "c.webm": ("libvpx-vp9", "yuv420p"),
    "d.webm": ("libvpx", "yuv420p"),
    "e.avi": ("mpeg4", "yuv420p"),
    "f.avi": ("mjpeg", "yuvj420p"),
    "g.gif": ("gif", "rgb8"),
    "h.ts": ("libx264", "yuv420p"),
    "i.flv": ("flv", "yuv420p"),
    "j.mkv": ("libx264", "yuv420p"),
    "k.mpg": ("mpeg2video", "yuv420p"),
    "l.mov": ("mpeg4", "yuv420p"),
    "m.mp4": ("mpeg4", "yuv420p"),
    "n.mkv": ("ffv1", "yuv420p"),
    "o.ts": ("mpeg2video", "yuv420p"),
    "p.apng": ("apng", "rgb24"),
    "q.h264": ("libx264", "yuv420p"),
    "r.mp4": ("libx265", "yuv420p"),
}
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
_TEXT = {
    "x.m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
    "x.ffconcat": "ffconcat version 1.0\nfile '{other}'\n",
    "x.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "x.mpd": "<?xml version='1.0'?><MPD><BaseURL>{other}</BaseURL></MPD>",
    "x.asx": "<asx><entry><ref href='{other}'/></entry></asx>",
    "x.pls": "[playlist]\nFile1={other}\nNumberOfEntries=1\n",
    "x.url": "[InternetShortcut]\nURL=file://{other}\n",
    "x.html": "<html><video src='{other}'></html>",
    "x.svg": "<svg xmlns:xlink='x'><image xlink:href='{other}'/></svg>",
    "x.avs": 'DirectShowSource("{other}")\n',
    "x.vpy": "import os\n",
    "x.ass": "[Script Info]\nTitle: x\n",
    "x.zip": "PK\3\4",
}


def videos(n, seed, folder):
    """Try mutated videos."""
    clips = _write_clips(folder, n)
    tasks = [(number, seed, str(folder), clips) for number in range(n)]
    return each_in_process(_video, tasks, seconds=SECONDS, mib=MIB, warm=warm)


def warm():
    av.codec.Codec("h264", "r")
    cv2.imdecode(np.zeros(9, np.uint8), cv2.IMREAD_COLOR)


def _frames():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    base = np.stack([3 * y, 2 * x, 2 * (x + y)], -1).astype(np.uint8)
    return [np.roll(base, 4 * number, 1) for number in range(N_FRAMES)]


def _write(path, codec, pix_fmt, options=None, only=None):
    with av.open(str(path), "w", options=options or {}) as container:
        more = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = container.add_stream(codec, rate=25, options=more)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.codec_context.gop_size = 5
        for image in _frames()[:only]:
            frame = av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def _write_clips(folder, n):
    clips = folder / "clips"
    clips.mkdir()
    for name, (codec, pix_fmt) in list(CLIPS.items())[:n]:
        if codec in av.codecs_available:
            _write(clips / name, codec, pix_fmt)
    _write(clips / "z.mp4", "libx264", "yuv420p", _FRAGMENTED)
    return str(clips)


@cache
def _clips(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@cache
def _undamaged(folder, name):
    return _all_of(Path(folder) / name)


def _all_of(path):
    """Read all that is read of videos."""
    sample = sample_clips(path, 4, clip_length=2)
    info = probe_video(path)
    frames = [(f.tobytes(), s) for f, s in iter_frames(path, return_times=True)]
    facts = (info.n_frames, info.width, info.height, info.fps, info.seconds, info.codec)
    return sample.frames.tobytes(), sample.total, facts, estimate_qp(path), frames


def _video(case):
    """Read one mutated video in each way; say what came of it."""
    number, seed, folder, where = case
    rng, clips = random.Random(f"{seed} {number}"), _clips(where)
    name = sorted(clips)[number % len(clips)]
    if rng.random() < 0.02:
        return _leads_elsewhere(rng, folder, where, name)
    if rng.random() < 0.02:
        return _same(Path(where) / name, _undamaged(where, name))
    content = clips[name]
    for _ in range(rng.choice((1, 1, 2))):
        content = rng.choice(MUTATIONS)(content, clips, rng)[:MOST] or b"\0"
    suffix = Path(rng.choice((name, name, name, rng.choice(sorted(clips))))).suffix
    path = Path(folder) / f"{number}{suffix}"
    path.write_bytes(content)
    try:
        if content == clips[name] and suffix == Path(name).suffix:
            return _same(path, _undamaged(where, name))
        return read(path, apart=rng.random() < 0.1)
    finally:
        path.unlink()


def _leads_elsewhere(rng, folder, where, name):
    """Read what is no video, and names one: it must not be opened."""
    kind = rng.choice(sorted(_TEXT))
    suffix = rng.choice((Path(kind).suffix, ".mp4", ".ts", ".avi", ".mkv", ".mpg"))
    path = Path(folder) / f"leads{suffix}"
    path.write_bytes(
        _TEXT[kind].format(other=Path(where) / name).encode() * rng.choice((1, 9))
    )
    outcome = read(path)
    path.unlink()
    return outcome if outcome == "right: refused" else f"opened elsewhere: {kind}"


def _same(path, expected):
    return "right: the same" if _all_of(path) == expected else "other answer: changed"


def read(path, apart=False):
    """Return what comes of reading a damaged file, of each way to read it."""
    here = _outcomes(path)
    if apart:
        there = _outcomes(path, isolation="process")
        if there != here and "bytes of memory allowed" not in str(there):
            return f"other answer: apart {str(there)[:200]}, here {str(here)[:200]}"
    reasons = [each for each in here if isinstance(each, str)]
    if not all(path.name in reason for reason in reasons):
        return f"nameless: {reasons}"
    if len(reasons) == len(here):
        return "right: refused"
    return "right: read in part" if reasons else "right: read"


def _outcomes(path, **limits):
    found = []
    for look in (
        lambda: _hashes(sample_clips(path, 4, clip_length=2).frames),
        lambda: probe_video(path),
        lambda: estimate_qp(path),
        lambda: _hashes(iter_frames(path)),
    ):  # fmt: skip
        with reading_limits(**LIMITS, **limits):
            try:
                found.append([repr(look())])
            except VideoReadError as error:
                found.append(str(error))
    return found


def _hashes(frames):
    return [(frame.shape, hash(frame.tobytes())) for frame in frames]
