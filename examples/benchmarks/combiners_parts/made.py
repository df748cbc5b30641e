"""Tables that `combiners.py` makes, and how it takes time."""

import statistics
import time

import numpy as np
from scipy.special import expit


def make_table(n_videos, n_detectors, seed=0):
    """Detectors of falling skill that share half of their errors."""
    draw = np.random.default_rng(seed)
    y = np.arange(n_videos) % 2
    log_odds = np.outer(2 * y - 1, np.linspace(1.5, 0.1, n_detectors))
    log_odds += draw.normal(0, 1.5, log_odds.shape) + draw.normal(0, 1, (n_videos, 1))
    return expit(log_odds), y


def timed(function, times):
    """Run several times; return the last result and the median seconds."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def cpu_timed(function):
    """Return the result and the CPU seconds, those of all threads of this process."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start
