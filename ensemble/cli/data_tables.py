"""What ``index`` and ``explore`` show at a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from ensemble.cli.tables import terminal, visible
from ensemble.datasets.exploring.leak_hints import not_tested
from ensemble.datasets.exploring.page import warnings_of
from ensemble.datasets.indexing.leaks import find_duplicates

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from ensemble.datasets.exploring.explore import Exploration
    from ensemble.datasets.video_table import VideoTable

_MOST = 10  # lines of a list


def show_index(table: "VideoTable", out: Path) -> None:
    """Print what cannot be read, and copies; then where the table is.

    Parameters
    ----------
    table : VideoTable
        From `index_videos`.
    out : Path
    """
    console = terminal()
    frame = table.table
    broken = frame.loc[~frame["readable"], ["video_id", "reason"]]
    _list(console, "cannot be read", broken)
    _show_duplicates(console, find_duplicates(table))
    n_read = int(frame["readable"].sum())
    seconds = frame["seconds"].sum()
    console.print(
        f"{n_read} of {len(frame)} videos can be read, {seconds:.0f} s; "
        f"the table is in {visible(out)}",
        soft_wrap=True,
    )


def show_exploration(
    found: "Exploration", written: Sequence[Path], err: bool = False
) -> None:
    """Print counts, leak hints, copies, and what to look at.

    Parameters
    ----------
    found : Exploration
    written : sequence of Path
        Files and folders that were written.
    err : bool, default=False
        Print to standard error.
    """
    console = terminal(err)
    counts = Table("column", "value", title="Counts", title_justify="left")
    counts.add_column("videos", justify="right")
    counts.add_column("percent", justify="right")
    for column in found.counts.index.get_level_values("column").unique():
        part = found.counts.loc[column]
        for value, row in part.head(_MOST).iterrows():
            counts.add_row(
                str(column),
                visible(value),
                f"{row['count']:.0f}",
                f"{row['percent']:.2f}",
            )
        if len(part) > _MOST:
            counts.add_row(str(column), f"and {len(part) - _MOST} more values", "", "")
        counts.add_section()
    console.print(counts)
    if found.leak_hints["auc"].notna().any() or not not_tested(found.leak_hints):
        console.print(_hints_table(found.leak_hints))  # else a note says why not
    _list(console, "cannot be read", found.unreadable.reset_index())
    _show_duplicates(console, found.duplicates)
    for warning in warnings_of(found):
        console.print(f"note: {visible(warning)}", soft_wrap=True)
    for path in written:
        if str(path) != "-":
            console.print(f"Wrote {visible(path)}", soft_wrap=True)


def _hints_table(leak_hints: "pd.DataFrame") -> Table:
    hints = Table(
        "property", title="Does it alone tell the classes apart?", title_justify="left"
    )
    for name in ("AUC", "from", "to"):
        hints.add_column(name, justify="right")
    hints.add_column("")
    for name, row in leak_hints.iterrows():
        figures = [
            "" if value != value else f"{value:.3f}"
            for value in (row["auc"], row["low"], row["high"])
        ]
        why = row["reason"] or ("leak" if row["is_leak"] else "")
        hints.add_row(str(name), *figures, why)
    return hints


def _show_duplicates(console: "Console", duplicates: "pd.DataFrame") -> None:
    what = duplicates["second"] + ": " + duplicates["what"]
    is_leak = duplicates["is_leak"]
    is_open = is_leak & (duplicates["differ_in"] == "group not known")
    leaks = duplicates[is_leak & ~is_open]
    texts = what[leaks.index] + " (" + leaks["differ_in"] + ")"
    _list(console, "leak", leaks.assign(text=texts)[["first", "text"]], "leaks")
    rows = duplicates[is_open].assign(text=what[is_open])[["first", "text"]]
    way_out = ", if they come into two splits or folds; a group for both keeps them in "
    _list(
        console,
        f"pair would be a leak{way_out}one",
        rows,
        f"pairs would be leaks{way_out}one",
    )
    copies = duplicates[~is_leak][["first", "second"]]
    _list(console, "pair of copies", copies, "pairs of copies")


def _list(
    console: "Console", what: str, rows: "pd.DataFrame", whats: str | None = None
) -> None:
    """Print the first few of some rows of two columns, under how many there are."""
    if rows.empty:
        return
    what = whats if whats and len(rows) > 1 else what
    console.print(f"{len(rows)} {what}:", soft_wrap=True)
    for first, second in rows.head(_MOST).itertuples(index=False):
        console.print(f"  {visible(first)}, {visible(second)}", soft_wrap=True)
    if len(rows) > _MOST:
        console.print(f"  and {len(rows) - _MOST} more")
