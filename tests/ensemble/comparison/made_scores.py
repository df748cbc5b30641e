"""Made scores of three members, for the tests of this folder."""

import numpy as np
import pandas as pd

QUICK = ["log-odds mean", "stacking"]


def some_scores(n=180, seed=0, missing=0.0):
    """Three members, groups of three, fakes of two methods."""
    draw = np.random.default_rng(seed)
    groups = np.arange(n) // 3
    y = (np.arange(n) % 3 > 0).astype(int)
    odds = np.outer(2 * y - 1, [1.5, 1.0, 0.2]) + draw.normal(0, 2, (n, 3))
    odds += draw.normal(0, 0.7, (n, 3))[groups]
    scores = 1 / (1 + np.exp(-odds))
    scores[draw.random(scores.shape) < missing] = np.nan
    method = np.where(y == 0, "none", np.where(np.arange(n) % 3 == 1, "swap", "lips"))
    metadata = pd.DataFrame({"method": method, "compression": groups % 2})
    return pd.DataFrame(scores, columns=["a", "b", "c"]), y, groups, metadata
