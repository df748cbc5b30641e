"""Plots of members and strategies side by side, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble.reporting.plain_text import in_plot
from ensemble.reporting.plots.style import axes_or_new, ink, with_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_strategies(
    table: pd.DataFrame,
    metric: str = "auc",
    reference: str | None = "mean",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw members and strategies with their intervals, best first.

    Parameters
    ----------
    table : DataFrame
        ``Comparison.table``.
    metric : str, default="auc"
        A column that has ``*_low`` and ``*_high``.
    reference : str or None, default="mean"
        Row at which a line is drawn.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"kind": ["member", "strategy"], "auc": [0.8, 0.9], "auc_low": [0.7, 0.8],
    ...      "auc_high": [0.9, 1.0]}, index=["a", "mean"],
    ... )
    >>> [tick.get_text() for tick in plot_strategies(table).get_yticklabels()]
    ['a', 'mean']
    """
    ax = axes_or_new(ax)
    at = np.arange(len(table))
    kinds = ("strategy", "strategies", "o"), ("member", "members", "s")
    for place, (kind, kind_name, marker) in enumerate(kinds):
        of_kind = (table["kind"] == kind).to_numpy()
        rows = table[of_kind]
        if len(rows):
            _draw_intervals(
                ax, rows, metric, at[of_kind], marker, kind_name, color=f"C{place}"
            )
    if reference in table.index:
        label = f"the {in_plot(reference)}"
        ax.axvline(table.loc[reference, metric], lw=1, linestyle=":",
                   color=ink("text.color"), label=label)  # fmt: skip
    ax.set_yticks(at, list(map(in_plot, table.index)))
    ax.set_ylim(len(at) - 0.5, -0.5)
    ax.grid(True, axis="x")
    ax.set_xlabel(metric.upper() if metric == "auc" else metric.replace("_", " "))
    return with_legend(ax, columns=3)


def plot_by_value(
    by_value: pd.DataFrame,
    axis: str,
    strategies: Sequence[str],
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the AUC by method, compression or source, with intervals.

    Parameters
    ----------
    by_value : DataFrame
        ``Comparison.by_value``.
    axis : str
        "held out" or a column of the metadata.
    strategies : sequence of str
        Which to draw.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> by_value = pd.DataFrame(
    ...     {"axis": "method", "value": ["swap", "morph"], "strategy": "mean",
    ...      "auc": [0.9, 0.8], "auc_low": [0.8, 0.6], "auc_high": [1.0, 0.9]}
    ... )
    >>> ax = plot_by_value(by_value, "method", ["mean"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['swap', 'morph']
    """
    ax = axes_or_new(ax)
    lines = by_value[by_value["axis"] == axis]
    values = list(lines["value"].drop_duplicates())
    n = len(strategies)
    for place, name in enumerate(strategies):
        rows = lines[lines["strategy"] == name].set_index("value").reindex(values)
        at = np.arange(len(values)) + (place - (n - 1) / 2) * 0.7 / n
        _draw_intervals(ax, rows, "auc", at, "os^Dv"[place % 5], in_plot(name))
    ax.set_yticks(range(len(values)), list(map(in_plot, values)))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(True, axis="x")
    ax.set_xlabel("AUC")
    return with_legend(ax)


def _draw_intervals(ax, rows, metric, at, marker, label, **style):
    """Draw a metric of rows at these heights, each with its interval."""
    below = rows[metric] - rows[f"{metric}_low"]
    above = rows[f"{metric}_high"] - rows[metric]
    reach = np.clip(np.nan_to_num([below, above]), 0, None)
    ax.errorbar(rows[metric], at, xerr=reach, fmt=marker, ms=4.5, capsize=2, lw=1.3,
                label=label, **style)  # fmt: skip
