"""Figures and lists of a model card, and doubts, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ensemble.metrics.bootstrap_intervals import Interval


def auc_in_words(auc: Interval) -> str:
    """Return an AUC and its interval.

    Examples
    --------
    >>> from ensemble.metrics.bootstrap_intervals import Interval
    >>> from ensemble.verdicts.card_words import auc_in_words
    >>> auc_in_words(Interval(0.9, 0.8, 0.95))
    '0.90 (0.80 to 0.95)'
    >>> auc_in_words(Interval(1.0, 1.0, 1.0))
    '1.00 (alike in all draws of groups: no interval)'
    """
    if np.isnan(auc.low):
        return f"{auc.estimate:.2f}, of too few groups for an interval"
    if auc.low == auc.high:  # which shows little, where videos are few
        return f"{auc.estimate:.2f} (alike in all draws of groups: no interval)"
    return f"{auc.estimate:.2f} ({auc.low:.2f} to {auc.high:.2f})"


def percent_in_words(rate: Interval) -> str:
    """Return a share and its interval, in per cent.

    Examples
    --------
    >>> from ensemble.metrics.bootstrap_intervals import Interval
    >>> from ensemble.verdicts.card_words import percent_in_words
    >>> percent_in_words(Interval(0.1, 0.0, 0.25))
    '10 % (0 to 25 %)'
    """
    if np.isnan(rate.estimate):
        return "unknown"
    return (
        f"{100 * rate.estimate:.0f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f} %)"
    )


def left_out_in_words(failed_detectors: Iterable[str], n_skipped: int) -> str:
    """Say what a fit went on without; empty where that is nothing.

    Parameters
    ----------
    failed_detectors : iterable of str
    n_skipped : int
        Training videos that no detector could look at.

    Examples
    --------
    >>> from ensemble.verdicts.card_words import left_out_in_words
    >>> left_out_in_words(["net"], 1)
    'Left out: net, which failed in the fit; 1 video that no detector could look at.'
    """
    failed = ", ".join(failed_detectors)
    videos = f"{n_skipped:,} video{'' if n_skipped == 1 else 's'}"
    parts = [f"{failed}, which failed in the fit"] if failed else []
    parts += [f"{videos} that no detector could look at"] if n_skipped else []
    return f"Left out: {'; '.join(parts)}." if parts else ""


def single_doubts(text: str) -> list[str]:
    """Return the doubts that a scan holds in one text.

    Examples
    --------
    >>> single_doubts("its faces disagree (a; b); it is short")
    ['its faces disagree (a; b)', 'it is short']
    """
    return re.split(r"; (?![^()]*\))", text) if text else []
