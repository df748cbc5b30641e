"""Plots as SVG inside a page: they take its colours, light and dark, and its type."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from typing import Any

from ensemble.reporting.plain_text import printable

# Colours that matplotlib is given, and what the page's style sheet makes of them.
_SERIES = tuple(f"#a0000{n}" for n in range(1, 8))
_INK, _GRID = "#a0000a", "#a0000b"
_STYLED = {
    **{colour: f"var(--series-{n})" for n, colour in enumerate(_SERIES, start=1)},
    _INK: "currentColor",
    _GRID: "var(--line)",
}
_SETTINGS = {
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": _INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # the widest: any other fits in its place
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.7,
    "path.simplify_threshold": 0.05,
    "svg.fonttype": "none",
    "text.color": _INK,
    "xtick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.color": _GRID,
    "ytick.labelcolor": _INK,
}


def inline_svg(
    name: str,
    draw: Callable[..., Any],
    title: str,
    description: str,
    size: Any = (4.7, 4.2),
) -> str:
    """Draw a plot as SVG that can stand in HTML beside others.

    Parameters
    ----------
    name : str
        Unique in the page; every id in the SVG begins with it.
    draw : callable
        Takes the axes; such as one of `ensemble.plots`.
    title, description : str
        Read out in place of the plot.
    size : (float, float), default=(4.7, 4.2)
        Width and height in inches. The SVG shrinks with the page and does not grow.

    Returns
    -------
    str
        ``<svg>...</svg>``. Colours are the style sheet's ``--series-1`` to
        ``--series-7`` and ``--line``, and the colour of the text; the same plot gives
        the same text.

    Examples
    --------
    >>> svg = inline_svg("line", lambda ax: ax.plot([0, 1]), "A line", "It rises.")
    >>> svg[:28], "var(--series-1)" in svg
    ('<svg id="line" role="img" ar', True)
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots in a page need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    settings = {
        **_SETTINGS,
        "axes.prop_cycle": mpl.cycler(color=_SERIES),
        "svg.hashsalt": name,
    }
    file = io.StringIO()
    with mpl.rc_context(settings):
        figure = Figure(size, layout="constrained")
        draw(figure.subplots())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    width, height = (72 * side for side in size)
    inside = svg[svg.index("<defs>") if "<defs>" in svg else svg.index("<g") :]
    inside = re.sub(r"\s*<metadata>.*?</metadata>", "", inside, flags=re.DOTALL)
    inside = re.sub(r"<!--.*?-->\s*", "", inside, flags=re.DOTALL)
    inside = re.sub(r'\bid="', f'id="{name}-', inside)
    inside = re.sub(r'(href="|url\()#', rf"\1#{name}-", inside)
    inside = re.sub(r" font-family: [^;\"]*;", "", inside)  # that of the page
    inside = re.sub(r"\s*<style.*?</style>", "", inside, flags=re.DOTALL)
    for colour, styled in _STYLED.items():
        inside = inside.replace(colour, styled)
    title, description = (html.escape(printable(t)) for t in (title, description))
    return (
        f'<svg id="{name}" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width:{width * 4 / 3:.0f}px">\n'
        f'<title id="{name}-title">{title}</title>\n'
        f'<desc id="{name}-desc">{description}</desc>\n{inside.strip()}'
    )
