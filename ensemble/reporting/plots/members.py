"""Plots of members: how alike they err, what they weigh, what each adds."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ensemble.reporting.plain_text import in_plot
from ensemble.reporting.plots.style import axes_or_new, ink, with_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_correlation(
    scores: pd.DataFrame, y: ArrayLike | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw how much members go together, as a matrix.

    Parameters
    ----------
    scores : DataFrame of shape (n_videos, n_members)
        P(fake).
    y : array-like of shape (n_videos,) or None, default=None
        1 for fake; with it errors, label less score, are correlated, among reals and
        among fakes: each less the mean error of its class. Else scores are. Good
        members' scores go together by being right; so would errors over both classes,
        since a score between the two is too high for one and too low for the other.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.1, 0.9, 0.4], "b": [0.2, 0.8, 0.4]})
    >>> ax = plot_correlation(scores)
    >>> [text.get_text() for text in ax.texts]
    ['1.00', '1.00', '1.00', '1.00']
    """
    ax = axes_or_new(ax)
    what = "scores"
    if y is not None:
        errors = scores.rsub(np.asarray(y), axis=0)
        scores = errors - errors.groupby(np.asarray(y)).transform("mean")
        what = "errors"
    matrix = scores.corr().to_numpy()
    names = list(scores)
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    for row, column in np.ndindex(*matrix.shape):
        value = matrix[row, column]
        if np.isnan(value):
            continue
        # strength is opacity, so that ink on it reads on any ground
        ax.add_patch(
            _rectangle(column, row, "C0" if value >= 0 else "C1", 0.55 * abs(value))
        )
        if len(names) <= 12:
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", size=8)
    ticks = list(map(in_plot, names))
    ax.set_xticks(range(len(names)), ticks, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), ticks)
    ax.tick_params(length=0)
    ax.set_aspect("equal")
    ax.set_xlabel(f"Correlation of {what}")
    return ax


def plot_weights(
    weights: pd.DataFrame | pd.Series | ArrayLike, ax: "Axes | None" = None
) -> "Axes":
    """Draw the weight of each member in several strategies.

    Parameters
    ----------
    weights : DataFrame of shape (n_members, n_strategies), Series or array
        One strategy's weights may also be a Series, or an array such as the `weights_`
        of a combiner, whose members are then numbered.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> weights = pd.DataFrame({"stacking": [0.7, 0.3]}, index=["a", "b"])
    >>> len(plot_weights(weights).patches)
    2
    """
    weights = _weights_table(weights)
    ax = axes_or_new(ax)
    n = weights.shape[1]
    height = 0.8 / n
    for place, name in enumerate(weights):
        at = np.arange(len(weights)) + (place - (n - 1) / 2) * height
        ax.barh(at, weights[name], 0.88 * height, color=f"C{place}",
                label=in_plot(name), alpha=0.75,
                hatch=("", "///", "...", "xx")[place % 4])  # fmt: skip
    ax.set_yticks(range(len(weights)), list(map(in_plot, weights.index)))
    ax.invert_yaxis()
    ax.axvline(0, lw=1, color=ink("text.color"))
    ax.set_xlabel("Weight")
    return with_legend(ax, columns=min(n, 3)) if n > 1 else ax


def _weights_table(weights):
    """Return weights as a table of members and strategies, or say what is wrong."""
    if isinstance(weights, pd.DataFrame):
        return weights
    if isinstance(weights, pd.Series):
        return weights.to_frame("weights")
    values = np.asarray(weights, dtype=float)
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(
            "weights must have shape (n_members,) or (n_members, n_strategies); got "
            f"{values.shape}"
        )
    return pd.DataFrame(values.reshape(len(values), -1)).rename(
        index=lambda member: f"member {member}"
    )


def plot_contributions(ablation: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Draw what each member adds: its Shapley share, and what is lost without it.

    Parameters
    ----------
    ablation : DataFrame
        From `ensemble.comparison.ablation.member_contributions`.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> from ensemble.comparison.ablation import member_contributions
    >>> scores = pd.DataFrame({"a": [0.1, 0.2, 0.8, 0.9], "b": [0.4, 0.6, 0.5, 0.7]})
    >>> plot_contributions(member_contributions(scores, [0, 0, 1, 1])).get_xlabel()
    'AUC that the member adds to all others'
    """
    ax = axes_or_new(ax)
    low = (ablation["adds"] - ablation["adds_low"]).to_numpy()
    high = (ablation["adds_high"] - ablation["adds"]).to_numpy()
    at = np.arange(len(ablation))
    ax.errorbar(ablation["adds"], at, xerr=np.nan_to_num(np.stack([low, high])),
                fmt="o", ms=5, capsize=3, lw=1.5)  # fmt: skip
    ticks = [f"{in_plot(n)}\nShapley {v:.3f}" for n, v in ablation["shapley"].items()]
    ax.set_yticks(at, ticks)
    ax.set_ylim(len(at) - 0.5, -0.5)
    ax.axvline(0, lw=1, color=ink("text.color"))
    ax.set_xlabel("AUC that the member adds to all others")
    return ax


def _rectangle(x, y, colour, alpha):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, color=colour, alpha=alpha, lw=0)
