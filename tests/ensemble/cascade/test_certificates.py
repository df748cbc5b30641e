"""Certified rates hold for videos to come, whatever the scores are worth."""

import warnings

import numpy as np
import pandas as pd
import pytest
from cascades import NAMES, drawn, fitted, without_detectors
from scipy.stats import binom

from ensemble.cascade.certificate import CONFIDENCE, certified_limit

RATE, N_GROUPS, N_NEW = 0.1, 50, 4000
QUALITIES = {"noise": (0, 0, 0, 0), "signal": (1.5, 1.0, 0.7, 0.2)}


def disagreement(model, limit, quality, seed):
    """Replay the cascade on many new videos: how often does the verdict differ?"""
    scores, _, _ = drawn(N_NEW, seed, quality)
    table = pd.DataFrame(scores, columns=NAMES)
    cascade, seen = model.cascade_, model.oof_scores_
    full = model.combiner_.fake_score(table) > 0.5
    said, open_ = full.copy(), np.full(N_NEW, True)
    usable = np.full(N_NEW, True)
    for n, (stage, spread) in enumerate(
        zip(cascade.stages, limit.spreads, strict=True), start=1
    ):
        last = cascade.order[n - 1]
        usable &= table[last].between(seen[last].min(), seen[last].max()).to_numpy()
        columns = [name for name in NAMES if name in cascade.order[:n]]
        p_fake = stage.combiner.fake_score(table[columns])
        beyond = np.abs(np.log(p_fake / (1 - p_fake)))
        stops = open_ & usable & (beyond >= limit.margin * spread) & (beyond > 0)
        said[stops], open_[stops] = p_fake[stops] > 0.5, False
    return np.mean(said != full), np.mean(~open_)


def broken_promises(seeds):
    """Fit on fresh draws, half of them pure noise; count the rates that do not hold."""
    broken, stopped = 0, []
    start = fitted(n_videos=40, combiner="soft")
    for seed in seeds:
        quality = list(QUALITIES.values())[seed % 2]
        draw = drawn(2 * N_GROUPS, seed, quality)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = without_detectors(start, *draw)
            model.cascade = RATE
            limit = certified_limit(model, doubts=False)
        if np.isnan(limit.margin):
            continue
        differs, share = disagreement(model, limit, quality, seed + 10**6)
        broken += differs > RATE
        stopped.append(share)
    return broken, stopped


@pytest.mark.slow
def test_few_certificates_are_broken():
    broken, stopped = broken_promises(range(6))
    assert broken <= 2  # of 6 with a chance of 5 % each, 3 or more: 0.2 %
    assert np.mean(stopped) > 0.2  # or the promise would be empty


@pytest.mark.slow
def test_of_300_certificates_no_more_are_broken_than_the_confidence_allows():
    broken, stopped = broken_promises(range(300))
    assert len(stopped) > 200
    assert broken <= binom.ppf(0.99, 300, 1 - CONFIDENCE)
    assert np.mean(stopped) > 0.2
