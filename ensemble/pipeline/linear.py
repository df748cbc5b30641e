"""Rules that a person can compute: scaled scores, weights, an intercept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.combiners.base import Combiner
from ensemble.combiners.greedy_selection import GreedySelection
from ensemble.combiners.optimized_weights import OptimizedWeights
from ensemble.combiners.parts.scales import NEUTRAL
from ensemble.combiners.stacking import Stacking
from ensemble.combiners.voting import Voting

_BOUNDED = ("probability", "rank")  # their mean is a score from 0 to 1 itself
_LINEAR_VOTES = ("soft", "log_odds", "rank")


class NotLinearError(ValueError):
    """A combiner is no weighted sum of scaled scores."""


@dataclass(frozen=True)
class Column:
    """What becomes of one detector's score before it is weighed.

    Attributes
    ----------
    name : str
    place : int
        Its column in the table.
    map : dict or None
        How it is brought to 0 to 1 first; see `ensemble.combiners.parts.detection`.
    scale : dict
        Of `ensemble.combiners.parts.scales`, for this column alone.
    reach : tuple of (low, high, spread) or None
        Beyond which it counts for less; see `ensemble.combiners.parts.reach`.
    weight : float
    """

    name: str
    place: int
    map: dict[str, Any] | None
    scale: dict[str, Any]
    reach: tuple[float, float, float] | None
    weight: float


@dataclass(frozen=True)
class LinearForm:
    """A combiner as a weighted sum.

    With x the scaled scores counted from `neutral`, it is intercept + total * m, where
    m is the mean of x over the scores that there are, weighted by the weights; total is
    their sum. Where these have no weight m is their plain mean.

    Attributes
    ----------
    columns : list of Column
        Those that had scores in training.
    intercept, total, neutral : float
    logistic : bool
        Whether the sum is the log-odds of the combined score; else it is that score.
    """

    columns: list[Column]
    intercept: float
    total: float
    neutral: float
    logistic: bool


def linear_form(combiner: Any, names: list[str]) -> LinearForm:
    """Return a fitted combiner as a weighted sum of scaled scores.

    Parameters
    ----------
    combiner : Combiner
    names : list of str
        Of all columns of its table.

    Returns
    -------
    LinearForm

    Raises
    ------
    NotLinearError
        Saying what it is instead.

    Examples
    --------
    >>> combiner = Voting("soft", [3, 1]).fit([[0.9, 0.5], [0.1, 0.3]], [1, 0])
    >>> form = linear_form(combiner, ["a", "b"])
    >>> {column.name: column.weight for column in form.columns}, form.logistic
    ({'a': 0.75, 'b': 0.25}, False)
    """
    intercept, neutral = 0.0, 0.0
    if isinstance(combiner, Voting):
        if combiner.kind not in _LINEAR_VOTES:
            raise NotLinearError(f"a vote of kind {combiner.kind!r} is no sum")
    elif isinstance(combiner, Stacking):
        if combiner.layers or combiner.meta_model != "logistic":
            what = "with layers" if combiner.layers else f"by {combiner.meta_model}"
            raise NotLinearError(f"stacking {what} is no weighted sum")
        if not combiner.monotone:
            raise NotLinearError("stacking with monotone=False fills missing scores")
        intercept = float(combiner.intercept_)
        neutral = float(NEUTRAL[combiner.scale_["name"]])
    elif not isinstance(combiner, OptimizedWeights | GreedySelection):
        raise NotLinearError(f"{type(combiner).__name__} is no weighted sum")
    stacked = isinstance(combiner, Stacking)
    scale = combiner.scale_["name"]
    return LinearForm(
        columns=_columns(combiner, names),
        intercept=intercept,
        total=float(combiner.weights_.sum()) if stacked else 1.0,
        neutral=neutral,
        logistic=stacked or scale not in _BOUNDED,
    )


def _columns(combiner: Combiner, names: list[str]) -> list[Column]:
    maps = getattr(combiner, "maps_", None)
    reach = getattr(combiner, "reach_", None)
    found = []
    for own, place in enumerate(combiner.detector_order_):
        ends = None
        if reach is not None:
            low, high, spread = (reach[key][own] for key in ("low", "high", "spread"))
            ends = float(low), float(high), float(spread)
        found.append(
            Column(
                name=names[place],
                place=int(place),
                map=None if maps is None else maps[place],
                scale=_of_one(combiner.scale_, own),
                reach=ends,
                weight=float(combiner.weights_[place]),
            )
        )
    return sorted(found, key=lambda column: column.place)


def _of_one(scale, own):
    """Return a scale for one of its columns."""
    per_column = ("mean", "spread", "values", "ranks")
    return {
        key: (np.asarray(value[own]) if key in per_column else value)
        for key, value in scale.items()
    }
