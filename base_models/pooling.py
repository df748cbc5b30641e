"""Pools the scores of a video's frames into one score for the video."""

import difflib

import numpy as np
from scipy.special import expit, logit


def pool_scores(scores, pooling="mean"):
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


def _named(pooling):
    if pooling in POOLINGS:
        return POOLINGS[pooling]
    close = difflib.get_close_matches(str(pooling), POOLINGS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from {list(POOLINGS)}"
    raise ValueError(f"unknown pooling {pooling!r}; {hint}")


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
