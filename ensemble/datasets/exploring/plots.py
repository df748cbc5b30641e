"""Plots of a data set: counts with percentages, numbers by class, leak hints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble.datasets.video_table import VideoTable
from ensemble.reporting.plain_text import in_plot, printable
from ensemble.reporting.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST, _SAID, _BINS = 20, 8, 24
_LONG = 12  # letters from which labels are turned
_CLASSES = {"real": 0, "fake": 1, "unlabelled": None}


def plot_counts(counts: pd.DataFrame, ax: Axes) -> Axes:
    """Draw how often values occur, with percentages; the 20 most frequent ones.

    Parameters
    ----------
    counts : DataFrame, one row a value
        count, percent.
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
        Labels are turned where they are many or long.
    """
    shown = counts.head(_MOST)
    names = [in_plot(_short(name)) for name in shown.index]
    places = np.arange(len(shown))
    bars = ax.bar(places, shown["count"], width=0.7)
    texts = [f"{percent:.1f} %" for percent in shown["percent"]]
    is_wide = len(shown) > 6 or max(map(len, names)) > _LONG
    ax.bar_label(
        bars, texts, padding=2, fontsize=8, rotation=90 if len(shown) > 8 else 0
    )
    ax.set_xticks(places, names, rotation=90 if is_wide else 0)
    ax.set_ylabel("Videos")
    ax.margins(y=0.25 if len(shown) > 8 else 0.12)
    return ax


def counts_plot(counts: pd.DataFrame) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (column, SVG, what it says, whether it is wide) for each column."""
    for column in counts.index.get_level_values("column").unique():
        part = counts.loc[column]
        said = ", ".join(
            f"{name} {row['count']:.0f} ({row['percent']:.2f} %)"
            for name, row in part.head(_SAID).iterrows()
        )
        more = len(part) - _SAID
        said += f" and {more} more values" if more > 0 else ""
        svg = inline_svg(
            f"counts-{column}",
            lambda ax, part=part: plot_counts(part, ax),
            f"Videos by {column}",
            said,
            (min(8.0, 3.4 + 0.22 * min(len(part), _MOST)), 3.4),
        )
        yield str(column), svg, printable(said), len(part) > _SAID


def plot_numbers(table: VideoTable, name: str, ax: Axes) -> Axes:
    """Draw how a number is spread, by class, in percent of the class.

    Parameters
    ----------
    table : VideoTable
        From `index_videos`.
    name : str
        Of a column.
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
    """
    frame = table.table
    values = frame[name].to_numpy(float, na_value=np.nan)
    values = values / 1e6 if name == "file_size" else values
    label = frame["label"].to_numpy(float, na_value=np.nan)
    known = ~np.isnan(values)
    edges = np.histogram_bin_edges(values[known], _BINS)
    parts, weights, names = [], [], []
    for words, code in _CLASSES.items():
        part = values[known & (np.isnan(label) if code is None else label == code)]
        if len(part):
            parts.append(part)
            weights.append(np.full(len(part), 100 / len(part)))
            names.append(f"{words} ({len(part)})")
    ax.hist(parts, edges, weights=weights, label=names)
    ax.set_ylabel("Percent of the class")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3)
    return ax


def numbers_plot(table: VideoTable, name: str, words: str) -> tuple[str, str]:
    """Return (words, SVG) of `plot_numbers`."""

    def draw(ax: Axes) -> None:
        plot_numbers(table, name, ax)
        ax.set_xlabel(words[0].upper() + words[1:])

    title = f"Videos by {words}, by class"
    said = "The figures are in the table by class."
    return words, inline_svg(f"spread-{name}", draw, title, said, (4.4, 3.2))


def hints_plot(hints: pd.DataFrame) -> str | None:
    """Return the intervals of leak hints as SVG, or None where there are none."""
    known = hints[hints["auc"].notna()]
    if known.empty:
        return None

    def draw(ax: Axes) -> None:
        places = np.arange(len(known))[::-1]
        low, high = known["low"].to_numpy(float), known["high"].to_numpy(float)
        value = known["auc"].to_numpy(float)
        for is_leak, colour in ((True, "C1"), (False, "C0")):
            here = known["is_leak"].fillna(False).to_numpy(bool) == is_leak
            ax.hlines(places[here], low[here], high[here], color=colour)
            ax.plot(value[here], places[here], "o", color=colour)
        ax.axvline(0.5, color="C6", lw=0.8, ls="--")
        ax.set_yticks(places, list(known.index))
        ax.set(xlabel="AUC", xlim=(min(0.3, np.nanmin(low) - 0.02), 1.02))

    said = "; ".join(
        f"{name} {row['auc']:.3f}, {row['low']:.3f} to {row['high']:.3f}"
        for name, row in known.iterrows()
    )
    title = "How well each property alone tells the classes apart"
    return inline_svg("hints", draw, title, said, (5.4, 0.9 + 0.36 * len(known)))


def _short(name: object) -> str:
    text = str(name)
    return (
        text if len(text) <= 24 else f"{text[:11]}\N{HORIZONTAL ELLIPSIS}{text[-11:]}"
    )
