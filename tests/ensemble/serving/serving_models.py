"""Models for tests of the server, opened in its process that scans."""

import os
import time

import numpy as np
import torch
from torch import nn

import ensemble.inspection.evidence_page
import ensemble.inspection.scan
from base_models import Face, TorchDetector
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Voting

SIDE = 24  # of a "face": a square whose red says which one, on a black ground


class SquareFinder:
    """Finds squares by their blue, left to right."""

    def find(self, frame):
        found = []
        for low, high in ((100, 140), (180, 255)):
            mask = (frame[..., 2] > low) & (frame[..., 2] < high)
            if mask.sum() > 100:
                rows, columns = np.nonzero(mask)
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                found.append(Face(tuple(map(int, box)), 1.0))
        return found


class Redness(nn.Module):
    """P(fake) rises with the red of the image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images):  # (B, 3, H, W), -1..1
        return self.scale * images[:, 0].mean(dim=(1, 2))


def squares(first=220, second=None, n_frames=20):
    """Return a video of one square, or two: the redder, the more a fake."""
    frames = np.zeros((n_frames, 60, 96, 3), np.uint8)
    for index, frame in enumerate(frames):
        x, y = 10 + index // 4, 12
        frame[y : y + SIDE, x : x + SIDE] = (first, 60, 120)
        if second is not None:
            frame[10 : 10 + SIDE - 4, 60 : 60 + SIDE - 4] = (second, 60, 220)
    return frames


def open_squares(path=None):
    """Return an ensemble that looks at squares for faces, and at whole frames."""
    members = [
        (
            view,
            TorchDetector(
                Redness(), view=view, train="none", image_size=16, n_frames=4,
                finder=SquareFinder(), margin=1.0, n_threads=1,
            ),
        )
        for view in ("face", "frame")
    ]  # fmt: skip
    videos = [squares(red) for red in (40, 60, 80, 100, 170, 190, 210, 230)]
    model = DeepfakeEnsemble(members, strategy="voting", resampling=2, verbose=False)
    return model.fit(videos, [0] * 4 + [1] * 4, groups=np.arange(8) % 4)


def open_odd(path=None):
    """Return the same, for whom some files are odd, by how they end."""
    real = ensemble.inspection.scan.scan_video
    kept = []

    def scan(model, video, **how):
        with open(video, "rb") as file:
            word = file.read()[-8:].strip()
        if word == b"hang":
            time.sleep(600)
        if word == b"kill":
            os.kill(os.getpid(), 9)
        if word == b"slow":
            time.sleep(3)
        if word == b"eat":
            how["on_step"](0.5, "eating")
            while True:
                kept.append(np.ones(2**23))
                time.sleep(0.02)
        return real(model, video, **how)

    def write(*given):
        os.kill(os.getpid(), 9)

    ensemble.inspection.scan.scan_video = scan
    ensemble.inspection.evidence_page.write_evidence = write
    return open_squares()


def of_one_colour(red, n_frames=4):
    """Return a video of nothing but one colour."""
    frames = np.zeros((n_frames, 64, 64, 3), np.uint8)
    frames[:] = (red, 60, 120)
    return frames


def open_small_and_large(path=None):
    """Return an ensemble whose small member says next to all that the large one does.

    The large one has so little weight that it can raise no doubt: an exact cascade may
    leave it out, too.
    """
    members = [
        (
            name,
            TorchDetector(
                Redness(), view="frame", train="none", image_size=side, n_frames=4,
                n_threads=1,
            ),
        )
        for name, side in (("small", 16), ("large", 48))
    ]  # fmt: skip
    reds = np.r_[30:110:2, 150:230:2]
    model = DeepfakeEnsemble(
        members, combiner=Voting("soft", weights=[99, 1]), resampling=2, verbose=False
    )
    videos = [of_one_colour(int(red)) for red in reds]
    return model.fit(videos, reds > 128, groups=np.arange(len(reds)) % 40)
