"""What all plots share: axes, lines, colours, legends, and saving a figure."""

from pathlib import Path
from typing import TYPE_CHECKING

from base_models.runtime.file_writing import replacing
from ensemble.reporting.own_files import PLOT_MARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def save_figure(figure: "Figure", path: str | Path, command: str = "") -> None:
    """Write a figure, with the names of library and command in the file's metadata.

    By them a command knows its own plots, which it may replace, from those of others.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or Path
        .png, .svg, .pdf or .jpg.
    command : str, default=""
        That makes such plots; no command replaces those without one.
    """
    mark = f"{PLOT_MARK}: {command}" if command else PLOT_MARK
    options = {"metadata": {"Creator": mark}}
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        options = {"metadata": {"Software": mark}}
    elif suffix in (".jpg", ".jpeg"):
        options = {"pil_kwargs": {"comment": mark.encode()}}
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=150, **options)


def axes_or_new(ax: "Axes | None") -> "Axes":
    """Return the axes given, or those of a new figure; needs matplotlib."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    return plt.subplots(layout="constrained")[1]


def ink(setting: str) -> str:
    """Return a colour that matplotlib is set to, such as "text.color"."""
    import matplotlib as mpl

    return mpl.rcParams[setting]


def with_legend(ax: "Axes", columns: int = 1, below: float = 4.2) -> "Axes":
    """Lay the legend below the axes, by so many letters, where it covers no curve."""
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0),
              borderaxespad=below, ncols=columns, frameon=False)  # fmt: skip
    return ax
