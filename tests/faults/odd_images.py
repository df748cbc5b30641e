"""Folders of mutated images: the right frames, or a reason that names them."""

import random
import struct
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from mutations import HEIGHT, WIDTH, cut, flip_bits, numbers, repeat, zeros
from odd_videos import MIB, SECONDS, read, warm
from trials import each_in_process

from base_models.video.reading import iter_frames


def images(n, seed, folder):
    """Try folders of mutated images, and such images by themselves."""
    tasks = [(number, seed, str(folder)) for number in range(n)]
    return each_in_process(_images, tasks, seconds=SECONDS, mib=MIB, warm=warm)


def _image_bytes(rng):
    image = np.frombuffer(rng.randbytes(HEIGHT * WIDTH * 3), np.uint8)
    suffix = rng.choice((".png", ".jpg", ".bmp", ".webp", ".tiff", ".gif", ".jp2"))
    image = image.reshape(HEIGHT, WIDTH, 3)
    return suffix, cv2.imencode(suffix, image)[1].tobytes()


def _claims(content, suffix, rng):
    """State another size of the picture where this kind of file does."""
    width, height = (rng.choice((0, 1, 9, 4000, 30_000, 65_535)) for _ in "wh")
    if suffix == ".png":
        head = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    for form in (">HH", "<HH", ">II", "<II", "<ii"):
        for sizes in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)):
            content = content.replace(
                struct.pack(form, *sizes), struct.pack(form, width, height)
            )
    return content


def _images(case):
    number, seed, folder = case
    rng = random.Random(f"images {seed} {number}")
    place = Path(folder) / str(number)
    place.mkdir()
    whole, odd = Counter(), []
    for frame in range(rng.choice((1, 2, 5))):
        suffix, content = _image_bytes(rng)
        name = f"{frame}{rng.choice((suffix, suffix, '.png', '.jpg'))}"
        if rng.random() < 0.6:
            odd.append(name)
            mutated = content
            for _ in range(rng.choice((1, 2))):
                how = rng.choice((flip_bits, cut, zeros, numbers, _claims, repeat))
                extra = suffix if how is _claims else {}
                mutated = (
                    how(mutated, extra, rng) if how is not _claims
                    else _claims(mutated, suffix, rng)
                ) or b"\0"  # fmt: skip
            content = mutated
        else:
            whole[name] = content
        Path(place, name).write_bytes(content)
    try:
        video = place if rng.random() < 0.7 else next(place.iterdir())
        outcome = read(video, apart=rng.random() < 0.1)
        if not odd and video == place:
            return _frames_of(place, whole, outcome)
        return outcome
    finally:
        for path in place.iterdir():
            path.unlink()
        place.rmdir()


def _frames_of(place, whole, outcome):
    """Compare frames of whole images with what OpenCV makes of them."""
    if not outcome.startswith("right: read"):
        names = {Path(name).suffix for name in whole}
        return (
            outcome if names - {".gif", ".jp2"} == set() else f"lost: {sorted(whole)}"
        )
    images = [path for path in sorted(place.iterdir()) if path.suffix in
              (".png", ".jpg", ".bmp", ".webp", ".tiff")]  # fmt: skip
    expected = [cv2.imread(str(path))[:, :, ::-1] for path in images]
    found = list(iter_frames(place))
    same = len(found) == len(expected) and all(map(np.array_equal, found, expected))
    return "right: the same" if same else "other answer: other frames"
