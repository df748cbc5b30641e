"""Little videos whose frames say which they are, for the tests of this folder."""

from fractions import Fraction

import av
import numpy as np

CODECS = {
    "mp4": "libx264",
    "mov": "libx264",
    "mkv": "libx264",
    "avi": "mpeg4",
    "webm": "libvpx-vp9",
    "h264": "libx264",
}


def counting_frames(n, height=48, width=64):
    """Frames that carry their number as brightness, 6 apart: n up to 40."""
    levels = 8 + 6 * np.arange(n, dtype=np.uint8)
    return np.repeat(levels, height * width * 3).reshape(n, height, width, 3)


def numbers(frames):
    """Read the numbers back."""
    return np.rint((frames.mean(axis=(1, 2, 3)) - 8) / 6).astype(int).tolist()


def encode(path, frames, codec=None, pts=None, rotation=None, flip=False, audio=False):
    """Encode with PyAV directly, not with the writer under test."""
    with av.open(str(path), "w") as container:
        stream = None
        if frames is not None:
            codec = codec or CODECS[path.suffix[1:]]
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size = 12
            stream.codec_context.bit_rate = 2_000_000
            if rotation is not None:
                stream.set_display_rotation(rotation, hflip=flip)
            if pts is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        if audio:
            sound = container.add_stream("aac", rate=16000, layout="mono")
        for index, pixels in enumerate([] if frames is None else frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
        if audio:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 16000, 0
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def four_colours(height=48, width=64):
    """One still whose corners tell all eight orientations apart."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = (220, 30, 30)
    frame[: height // 2, width // 2 :] = (30, 220, 30)
    frame[height // 2 :, : width // 2] = (30, 30, 220)
    return frame
