"""Pools the scores of a video's frames into one score for the video."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from base_models.naming import did_you_mean


def pool_scores(scores: ArrayLike, pooling: str | Callable = "mean") -> float:
    """Pool frame scores into one video score.

    Parameters
    ----------
    scores : array-like of shape (n_frames,)
        P(fake) of each frame, 0 to 1. NaN frames are left out.
    pooling : str or callable, default="mean"
        ``"mean"``, ``"median"``, ``"max"``.

        ``"logit_mean"``: the mean of the log-odds, turned back into a probability;
        scores are first held between 1e-6 and 1 - 1e-6.

        ``"confident"``: `confident_strategy` of selimsef/dfdc_deepfake_challenge
        (``kernel_utils.py``): the mean of the scores above 0.8 if these are more than
        11 frames and more than floor(n / 2.5); else the mean of the scores below 0.2 if
        these are more than 9 in 10; else the mean. Made for 32 frames or more: with 11
        or fewer its first rule never holds.

        ``"power"``: as NTech-Lab/deepfake-detection-challenge (``predict.py``): scores
        are pushed outward, 0.5 ± abs(score - 0.5) ** 0.65, held between 0.01 and 0.99,
        and averaged with weights abs(score - 0.5) + 1e-4 of the score before.

        A callable takes the scores, float of shape (n,), n >= 1, without NaN, and gives
        the video's.

    Returns
    -------
    float
        P(fake) of the video; NaN when no frame has a score.

    Examples
    --------
    >>> pool_scores([0.2, 0.6, np.nan])
    0.4
    >>> round(pool_scores([0.2, 0.2, 0.9], "logit_mean"), 3)
    0.452
    >>> pool_scores([0.2, 0.9], pooling=lambda scores: scores.min())
    0.2
    """
    pool = pooling if callable(pooling) else _named(pooling)
    scores = np.asarray(scores, float)
    if scores.ndim != 1:
        raise ValueError(
            f"frame scores must have shape (n_frames,), one video at a time; got "
            f"{scores.shape}"
        )
    scores = scores[~np.isnan(scores)]
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        raise ValueError(
            f"frame scores must be P(fake), 0 to 1; got {scores[outside][0]}; apply a "
            "sigmoid or softmax to the network's output"
        )
    if not len(scores):
        return float("nan")
    return float(pool(scores))


def deciding_frames(scores: ArrayLike, pooling: str | Callable = "mean") -> np.ndarray:
    """Say which frames decided the score of a video.

    Parameters
    ----------
    scores : array-like of shape (n_frames,)
        P(fake) of each frame, NaN where there is none.
    pooling : str or callable, default="mean"
        As for `pool_scores`.

    Returns
    -------
    ndarray of bool of shape (n_frames,)
        ``"max"``: the highest. ``"median"``: the one or two in the middle.
        ``"confident"``: those that it averages, where it does not average all.
        Otherwise the fewest that together make up half of the pull towards the side of
        0.5 on which the video's score lies. What a frame pulls is its distance from 0.5
        (of the log-odds from 0 for ``"logit_mean"``); for a callable, by how much its
        score moves the video's away from what it would be with 0.5 in its place.

    Examples
    --------
    >>> deciding_frames([0.9, 0.2, 0.95, 0.6]).tolist()
    [True, False, True, False]
    >>> deciding_frames([0.9, 0.2, 0.95, 0.6], "max").tolist()
    [False, False, True, False]
    """
    scores = np.asarray(scores, float)
    decided = np.zeros(len(scores), bool)
    known = np.flatnonzero(~np.isnan(scores))
    if not len(known):
        return decided
    pooled, values = pool_scores(scores, pooling), scores[known]
    if pooling == "max":
        decided[known] = values == pooled
        return decided
    if pooling == "median":
        order = np.argsort(values, kind="stable")
        middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
        decided[known[middle]] = True
        return decided
    if pooling == "confident":
        for chosen in (values > 0.8, values < 0.2):
            if chosen.any() and not chosen.all() and pooled == values[chosen].mean():
                decided[known[chosen]] = True
                return decided
    pull = _pull(values, pooling) * (1 if pooled > 0.5 else -1)
    order = np.argsort(-pull, kind="stable")
    towards = np.clip(pull[order], 0, None)
    if towards.sum() > 0:
        enough = np.searchsorted(towards.cumsum(), towards.sum() / 2) + 1
        decided[known[order[:enough]]] = True
    return decided


def _pull(values, pooling):
    """By how much each frame moves the video's score up."""
    if pooling == "logit_mean":
        return logit(np.clip(values, 1e-6, 1 - 1e-6))
    if not callable(pooling):
        return values - 0.5
    pooled = pool_scores(values, pooling)
    neutral = [np.where(np.arange(len(values)) == i, 0.5, values) for i in
               range(len(values))]  # fmt: skip
    return np.array([pooled - pool_scores(other, pooling) for other in neutral])


def check_pooling(pooling: str) -> None:
    """Refuse a name of no pooling.

    Raises
    ------
    ValueError
        With the names that there are.

    Examples
    --------
    >>> from base_models.scoring.pooling import check_pooling
    >>> check_pooling("mean")
    """
    _named(pooling)


def _named(pooling):
    if isinstance(pooling, str) and pooling in POOLINGS:
        return POOLINGS[pooling]
    hint = did_you_mean(pooling, POOLINGS) or f"; choose from {list(POOLINGS)}"
    raise ValueError(f"unknown pooling {pooling!r}{hint}")


def _logit_mean(scores):
    return expit(logit(np.clip(scores, 1e-6, 1 - 1e-6)).mean())


def _confident(scores):
    fake, real = scores[scores > 0.8], scores[scores < 0.2]
    if len(fake) > len(scores) // 2.5 and len(fake) > 11:
        return fake.mean()
    if len(real) > 0.9 * len(scores):
        return real.mean()
    return scores.mean()


def _power(scores):
    delta = scores - 0.5
    pushed = 0.5 + np.sign(delta) * np.abs(delta) ** 0.65
    return np.average(np.clip(pushed, 0.01, 0.99), weights=np.abs(delta) + 1e-4)


POOLINGS = {
    "mean": np.mean,
    "median": np.median,
    "max": np.max,
    "logit_mean": _logit_mean,
    "confident": _confident,
    "power": _power,
}
