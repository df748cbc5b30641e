"""Timeline: what each detector says of each frame, and which frames decided."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.reporting.plain_text import in_plot
from ensemble.reporting.plots.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which the colour-blind can tell; shapes say it again.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")


def plot_timeline(result: Any, path: str | PathLike | None = None) -> "Figure":
    """Plot the score of each frame over seconds, one panel a face.

    Filled marks are the frames that weigh most in what a detector says of the video,
    by its pooling: the highest for the maximum, and for a mean the fewest that make up
    half of its distance from 0.5 (`base_models.scoring.pooling.deciding_frames`).

    Parameters
    ----------
    result : ScanResult
        From `ensemble.scan_video`.
    path : str, Path or None, default=None
        Where to save it: .png, .svg or .pdf.

    Raises
    ------
    ValueError
        If no detector offers a timeline of this video.
    """
    check_plots()
    from matplotlib.figure import Figure

    frames = result.timeline
    if frames.empty:
        raise ValueError(
            f"{result.video} has no timeline: no detector scored its frames"
            + (f" ({result.reason})" if result.reason else "")
        )
    panels = sorted(frames["face"].unique(), key=lambda face: (face == 0, face))
    figure = Figure(figsize=(9, 1.4 + 2.3 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    names = list(dict.fromkeys(frames["detector"]))
    for axis, face in zip(axes, panels, strict=True):
        for number, name in enumerate(names):
            here = frames[(frames["face"] == face) & (frames["detector"] == name)]
            if len(here):
                _line(axis, here, name, number)
        axis.set(ylim=(-0.03, 1.03), ylabel=result.score_name, xlim=_limits(result))
        axis.set_title(_heading(result, face), loc="left", fontsize=10)
        axis.grid(alpha=0.3)
        middle = "0.5, as near to real as to fake"
        axis.axhline(0.5, color="0.5", linewidth=0.8, linestyle="--", label=middle)
    axes[-1].set_xlabel("seconds")
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(len(handles), 3),
        frameon=False,
        fontsize=9,
    )
    p_fake = f"{result.score_name} {result.p_fake:.3f}"
    p_fake = "no score" if np.isnan(result.p_fake) else p_fake
    figure.suptitle(
        f"{in_plot(Path(result.video).name)}: "
        f"{result.verdict or 'no verdict'}, {p_fake}\n"
        "each detector's own score by frame, before they are combined; filled: frames "
        "that weigh most in it\na score is evidence, not proof",
        fontsize=11,
    )
    if path is not None:
        save_figure(figure, path, "scan")
    return figure


def check_plots() -> None:
    """Refuse where plots cannot be drawn, with what to install."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error


def _line(axis, frames, name, number):
    colour, shape = _COLOURS[number % len(_COLOURS)], _SHAPES[number % len(_SHAPES)]
    axis.plot(
        frames["seconds"],
        frames["score"].astype(float),
        color=colour,
        marker=shape,
        markersize=5,
        markerfacecolor="white",
        linewidth=1.2,
        label=in_plot(name),
    )
    decided = frames[frames["decided"].astype(bool)]
    axis.plot(
        decided["seconds"],
        decided["score"].astype(float),
        color=colour,
        marker=shape,
        markersize=7,
        linestyle="none",
    )


def _limits(result):
    last = float(result.look.times[-1])
    margin = 0.02 * last or 0.5
    return -margin, last + margin


def _heading(result, face):
    if face == 0:
        return "whole frames"
    row = result.faces[result.faces["face"] == face].iloc[0]
    if np.isnan(row["p_fake"]):
        return f"face {face}: no score"
    return f"face {face}: {row['verdict']}, {result.score_name} {row['p_fake']:.3f}"
