"""Toy detectors: fast, and of somebody else's make."""

import numpy as np
import pytest
from memoriser import Memoriser


@pytest.fixture
def memoriser():
    Memoriser.fits = []
    return Memoriser


@pytest.fixture(scope="session")
def noise():
    """Return a function: seed -> 40 videos of pure noise, labels, 20 groups of two."""

    def make(seed, n_videos=40):
        draw = np.random.default_rng(seed)
        videos = list(draw.integers(0, 256, (n_videos, 2, 2, 2, 3), np.uint8))
        return (
            videos,
            draw.permutation(np.arange(n_videos) % 2),
            np.arange(n_videos) // 2,
        )

    return make
