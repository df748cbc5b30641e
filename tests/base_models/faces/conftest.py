"""Faces of real people, for the tests of this folder."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def people():
    """Real faces of ten people, (200, 200, 3), each tinted in a colour of their own."""
    data = pytest.importorskip("skimage.data")
    tints = np.random.default_rng(0).uniform(0.55, 1.0, (10, 3))
    large = [cv2.resize(f, (200, 200), interpolation=cv2.INTER_CUBIC)
             for f in data.lfw_subset()[:10]]  # fmt: skip
    tinted = np.array(large)[..., None] * tints[:, None, None]
    return (255 * tinted.clip(0, 1)).astype(np.uint8)
