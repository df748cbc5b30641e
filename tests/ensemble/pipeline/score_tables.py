"""Tables of scores, with gaps and whole, that rules are learned from."""

import numpy as np
import pandas as pd
from scipy.special import expit

NAMES = ["xception", "resnet", "mesonet"]


def make_scores(n=160, seed=0):
    """Return scores, labels and groups of four videos each."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    odds = draw.normal(np.outer(2 * y - 1, [1.0, 0.7, 0.4]), 1.2)
    odds[np.arange(n) % 8 == 5, 1] = np.nan
    return pd.DataFrame(expit(odds), columns=NAMES), y, np.arange(n) // 4


def make_whole_scores(n=240, seed=0, skill=(2.0, 1.5, 1.0)):
    """Return scores, labels and groups of four videos each."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    odds = draw.normal(np.outer(2 * y - 1, skill) / 2, 1.2)
    rows = [f"{row:04}.mp4" for row in range(n)]
    return pd.DataFrame(expit(odds), rows, NAMES), y, np.arange(n) // 4
