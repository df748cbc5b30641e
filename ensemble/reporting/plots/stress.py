"""The plot of a stress test: how scores change as videos do."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble.reporting.plain_text import in_plot
from ensemble.reporting.plots.style import ink, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of the strengths of each change, as `ensemble.inspection.changes` lists them.
UNITS = {
    "h264": "CRF of x264",
    "jpeg": "JPEG quality",
    "downscale": "share of width and height",
    "blur": "sigma in pixels, at height 480",
    "noise": "standard deviation, of 255",
    "fps": "share of the frames",
    "darker": "factor of brightness",
    "brighter": "factor of brightness",
}


def plot_stress(table: pd.DataFrame, path: str | Path | None = None) -> "Figure":
    """Draw what becomes of scores as videos are changed more and more.

    Parameters
    ----------
    table : DataFrame
        ``StressResult.table``.
    path : str, Path or None, default=None
        Where to save it: .png, .svg or .pdf.

    Returns
    -------
    matplotlib Figure
        One panel a change: AUC where it was measured, else the mean size of the drift.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"change": "jpeg", "strength": [90, 50], "scorer": "a", "size": [0.1, 0.2]}
    ... )
    >>> len(plot_stress(table).axes)
    1
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    changes = list(dict.fromkeys(table["change"]))
    columns = min(4, len(changes))
    rows = -(-len(changes) // columns)
    figure = Figure((3.1 * columns, 2.7 * rows + 0.6), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharey=True, squeeze=False))
    measure = "auc" if "auc" in table else "size"
    for ax in panels[len(changes) :]:
        ax.set_visible(False)
    for ax, change in zip(panels, changes, strict=False):
        rows_of_change = table[table["change"] == change]
        strengths = list(dict.fromkeys(rows_of_change["strength"]))
        at = np.arange(len(strengths)) + (measure == "auc")
        for place, (scorer, lines) in enumerate(
            rows_of_change.groupby("scorer", sort=False)
        ):
            values = lines.set_index("strength")[measure].reindex(strengths).to_numpy()
            where = at
            if measure == "auc":
                before = lines["auc_before"].dropna()
                values = np.r_[before.iloc[0] if len(before) else np.nan, values]
                where = np.r_[0, at]
            ensemble = scorer == "ensemble"
            ax.plot(where, values, marker="os^DvPX"[place % 7], ms=4,
                    lw=2.4 if ensemble else 1.2, label=in_plot(scorer),
                    color=ink("text.color") if ensemble else f"C{place}")  # fmt: skip
        names = [f"{strength:g}" for strength in strengths]
        if measure == "auc":
            names, at = ["as is", *names], np.r_[0, at]
        ax.set_xticks(at, names)
        ax.set_title(in_plot(change), size=10)
        ax.set_xlabel(UNITS.get(change, "strength"), size=9)
        ax.grid(True, axis="y", lw=0.5)
    label = {"auc": "AUC", "size": "Mean drift of P(fake), 0 to 1"}[measure]
    figure.supylabel(label, size=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    if path is not None:
        save_figure(figure, path, "stress")
    return figure
