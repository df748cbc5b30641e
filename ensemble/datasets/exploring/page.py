"""What is in a data set, as a page with plots, pictures and clips."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.addresses import file_name, remote_address
from base_models.errors import VideoReadError
from ensemble._version import __version__
from ensemble.datasets.exploring.leak_hints import TOGETHER, not_tested
from ensemble.datasets.exploring.pictures import (
    clip_url,
    find_faces,
    first_frame,
    has_landmarks,
)
from ensemble.datasets.exploring.plots import counts_plot, hints_plot, numbers_plot
from ensemble.datasets.kinds.files import is_there
from ensemble.datasets.video_table import VideoTable
from ensemble.reporting.html import image_url, write_page
from ensemble.reporting.plain_text import printable

_ROWS, _SHOWN, _FACES = 20, 6, 4  # most rows of a table; pictures of a grid, of faces
_PICTURE, _FACE_PICTURE = (224, 168), (420, 320)
_WORDS = {
    "seconds": "length, s", "fps": "frames a second", "frames": "frames",
    "width": "width, pixels", "height": "height, pixels", "file_size": "file size, MB",
    "face_size": "side of the largest face, pixels",
    "brightness": "brightness, 0 to 255", "quantiser": "quantiser, 0 (lossless) to 51",
}  # fmt: skip


def write_exploration(
    found: Any, path: str | Path, embed: bool, random_state: int
) -> Path:
    """Write the page of `Exploration.to_html`; its size does not grow with the data.

    Parameters
    ----------
    found : Exploration
        Not named in the signature: its module imports this one.
    path : str or Path
    embed : bool
    random_state : int

    Returns
    -------
    Path
    """
    rng = np.random.default_rng(random_state)
    captions = captions_of(found.table)
    content = {
        "version": __version__,
        "name": printable(found.root.name if found.root else "videos"),
        "root": printable(found.root or ""),
        "kind": found.table.kind,
        "facts": _facts(found),
        "warnings": list(warnings_of(found)),
        "untested": not_tested(found.leak_hints),
        "n_masks": int(found.files["masks"].sum()),
        "files": _files_table(found),
        "lists": _table(found.lists_and_folders, "Videos that are only in a list, or "
                        "only in a folder and in no list.", most=_ROWS),
        "n_only": found.lists_and_folders["only_in"].value_counts().to_dict(),
        "columns": _column_tables(found),
        "counts": list(counts_plot(found.counts)),
        "grids": _grids(found, captions, Path(path), embed, rng),
        "embed": embed,
        "faces": _faces(found, captions, rng),
        "landmarks": has_landmarks(),
        "numbers": [numbers_plot(found.table, name, words)
                    for name, words in _WORDS.items() if _varies(found, name)],
        "constant": _constant(found),
        "by_class": _by_class_table(found),
        "hints": _hints_table(found),
        "hints_plot": hints_plot(found.leak_hints),
        "duplicates": _table(found.duplicates, "Same content, and videos that look "
                             "alike across groups, classes or splits; leaks first."),
        "groups": _groups_table(found),
        "n_groups": found.table.table["group"].nunique(),
        "unreadable": _table(found.unreadable, "Videos that cannot be read, and why."),
    }  # fmt: skip
    return write_page("explore.html", content, path)


def warnings_of(found: Any) -> Iterable[str]:
    """Say what to look at before training on a data set, the worst first."""
    leaks = found.duplicates[found.duplicates["is_leak"]]
    for what, rows in leaks.groupby("what", sort=False):
        row = rows.iloc[0]
        more = f" and {_many(len(rows) - 1, 'more pair')}" if len(rows) > 1 else ""
        yield (
            f"{row['first']} and {row['second']}{more}: {what}, "
            f"and different ({row['differ_in']}); what is learned of one is known of "
            "the other"
        )
    across = found.groups.index[found.groups["splits"].str.contains(", ")]
    across = across[across != "(no group)"]
    if len(across):
        yield (
            f"{_many(len(across), 'group')} in several splits, such as {across[0]}: "
            "scores on one split are too good"
        )
    is_leak = found.leak_hints["is_leak"].fillna(False)
    for name, row in found.leak_hints[is_leak].iterrows():
        what = f"The {name} by itself tells" if name != TOGETHER else (
            "These properties of the files together tell")  # fmt: skip
        yield (
            f"{what} fakes from reals: AUC {row['auc']:.3f} (at least "
            f"{row['low']:.3f}, {row['columns']}); a detector may learn that in place "
            "of forgery"
        )
    if untested := not_tested(found.leak_hints):
        yield untested
    counts = found.lists_and_folders["only_in"].value_counts()
    if n_broken := int(found.table.table["path"].map(is_there).sum()) - int(
        found.table.table["readable"].sum()
    ):
        yield f"{_many(n_broken, 'file')} cannot be read as video"
    if counts.get("list"):
        yield f"{_many(counts['list'], 'video')} listed and not there"
    if counts.get("folder"):
        yield f"{_many(counts['folder'], 'video')} in the folder and in no list"
    faces = found.table.table["face"]
    if (n_without := int((faces == False).fillna(False).sum())) > 0:  # noqa: E712
        yield f"{_many(n_without, 'video')} without a face in the frames looked at"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _facts(found: Any) -> list[tuple[str, str]]:
    frame = found.table.table
    label = frame["label"]
    facts = [("Videos", len(frame)), ("Real", int((label == 0).sum())),
             ("Fake", int((label == 1).sum())), ("Unlabelled", int(label.isna().sum())),
             ("Groups", frame["group"].nunique()),
             ("Unreadable", len(found.unreadable)),
             ("Leaking pairs", int(found.duplicates["is_leak"].sum()))]  # fmt: skip
    seconds = frame["seconds"].sum()
    length = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"
    megabytes = frame["file_size"].fillna(0).sum() / 1e6
    size = f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1e3 else f"{megabytes:,.1f} MB"
    return [(n, f"{v:,}") for n, v in facts] + [("Length", length), ("Size", size)]


# Tables


def _table(
    frame: pd.DataFrame, caption: str, most: int = _ROWS, index: bool | None = None
) -> dict[str, Any] | None:
    """A table of at most so many rows as text; None of one without rows."""
    if frame.empty:
        return None
    more = len(frame) - most
    shown = frame.head(most)
    if index or (index is None and shown.index.names != [None]):
        shown = shown.reset_index()
    numeric = [
        pd.api.types.is_numeric_dtype(shown[name])
        and not pd.api.types.is_bool_dtype(shown[name])
        for name in shown.columns
    ]
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    names = [str(name).replace("_", " ") for name in shown.columns]
    head = list(zip(names, numeric, strict=True))
    return {"caption": caption, "head": head, "rows": rows, "more": max(more, 0)}


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (not hasattr(value, "__len__") and pd.isna(value)):
        return "\N{EN DASH}"
    if isinstance(value, float | np.floating):
        text = f"{value:,.2f}" if abs(value) < 1e5 else f"{value:,.0f}"
        return text.removesuffix(".00")
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def _files_table(found: Any) -> dict[str, Any] | None:
    files = found.files.sort_values("files", ascending=False, kind="stable")
    shown = files.assign(MB=files["bytes"] / 1e6)[["files", "MB", "masks"]]
    if not files["masks"].any():
        shown = shown.drop(columns="masks")
    return _table(shown, "Files by folder and ending.")


def _column_tables(found: Any) -> list[dict[str, Any] | None]:
    missing = found.missing.reset_index()
    missing = missing.pivot(
        index="column", columns="part", values=["missing", "percent"]
    )
    order = dict.fromkeys(found.missing.index.get_level_values("column"))
    parts = dict.fromkeys(found.missing.index.get_level_values("part"))
    wide = pd.DataFrame(
        {
            (part if kind == "missing" else f"{part}, %"): missing[kind, part]
            for part in parts
            for kind in ("missing", "percent")
        }
    ).reindex(order)
    wide["dtype"] = found.missing.loc["all", "dtype"]
    return [
        _table(found.metadata, "What lists and folders say of the first videos.", 8),
        _table(wide, "Missing values: number and percent, of all videos and by class."),
        _table(found.unique, "Values that are known, and how many different ones."),
        _table(found.most_frequent, "The most frequent value of each column; percent "
               "of the values that are known."),
    ]  # fmt: skip


def _by_class_table(found: Any) -> dict[str, Any] | None:
    table = found.by_class.copy()
    sizes = table.index.get_level_values("property") == "file_size"
    numbers = table.columns.drop("videos")
    table[numbers] = table[numbers].astype(float)
    table.loc[sizes, numbers] /= 1e6
    return _table(table.rename(index=_WORDS, level="property"), "By class.", 40)


def _hints_table(found: Any) -> dict[str, Any] | None:
    hints = found.leak_hints
    shown = pd.DataFrame(
        {
            "AUC": hints["auc"].map(_figure),
            "from": hints["low"].map(_figure),
            "to": hints["high"].map(_figure),
            "tells classes apart": hints["is_leak"]
            .astype(object)
            .map({True: "yes", False: "no"})
            .fillna("not tested"),
            "columns": hints["columns"],
            "note": hints["reason"],
        }
    )
    if not hints["reason"].any():
        shown = shown.drop(columns="note")
    return _table(shown, "Each property of the files by itself, then all together: AUC "
                  "of a cross-validated logistic regression, groups left out, with an "
                  "interval; all intervals hold together at 95 %.")  # fmt: skip


def _figure(value: float) -> str:
    return "\N{EN DASH}" if np.isnan(value) else f"{value:.3f}"


def _groups_table(found: Any) -> dict[str, Any] | None:
    if not found.table.table["group"].notna().any():
        return None
    return _table(found.groups, "The largest groups: what must not cross folds.", 10)


# Pictures


def captions_of(table: VideoTable) -> dict[str, str]:
    """Return a short name of each video, by its id, that no other video has.

    That is the name of the file; where several have one name, with method, source and
    compression; where that is not enough, the id.

    Parameters
    ----------
    table : VideoTable

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets import VideoTable
    >>> frame = pd.DataFrame({"path": ["a/1.mp4", "b/1.mp4"], "label": 1})
    >>> frame = frame.assign(video_id=frame["path"], method=["swap", "morph"])
    >>> captions_of(VideoTable(frame))
    {'a/1.mp4': '1.mp4, swap', 'b/1.mp4': '1.mp4, morph'}
    """
    frame = table.table
    ids = frame["video_id"].astype(str)
    names = frame["path"].map(file_name).map(os.path.basename)
    details = [
        [name for name in row if isinstance(name, str) and name != "none"]
        for row in frame[["method", "source", "compression"]].itertuples(index=False)
    ]
    longer = pd.Series(
        [", ".join([n, *d]) for n, d in zip(names, details, strict=True)], names.index
    )
    captions = names.where(~names.duplicated(keep=False), longer)
    captions = captions.where(~captions.duplicated(keep=False), ids)
    return dict(zip(ids, captions, strict=True))


def _grids(
    found: Any,
    captions: Mapping[str, str],
    page: Path,
    embed: bool,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Pictures of fakes, reals, one original with its fakes, and unlabelled videos."""
    frame = found.table.table
    frame = frame[frame["readable"]]
    label = frame["label"]
    parts: list[tuple[str, pd.DataFrame]] = [
        ("Fake", _some(frame[(label == 1).fillna(False)], rng)),
        ("Real", _some(frame[(label == 0).fillna(False)], rng)),
    ]
    if len(found.originals):
        original = found.originals.index[0]
        kin = found.siblings(original).table
        parts.append((f"Made of {original}", kin[kin["readable"]].head(_SHOWN)))
    parts.append(("Unlabelled", _some(frame[label.isna()], rng)))
    grids = []
    for title, rows in parts:
        pictures = [
            picture
            for row in rows.itertuples()
            if (picture := _picture(row, captions[row.video_id], page, embed))
            is not None
        ]
        if pictures:
            grids.append({"title": title, "pictures": pictures})
    return grids


def _some(
    frame: pd.DataFrame, rng: np.random.Generator, n: int = _SHOWN
) -> pd.DataFrame:
    rows = rng.permutation(len(frame))[:n]
    return frame.iloc[np.sort(rows)]


def _picture(row: Any, name: str, page: Path, embed: bool) -> dict[str, Any] | None:
    try:
        url = image_url(first_frame(row.path), _PICTURE)
        clip = clip_url(row.path) if embed else None
    except VideoReadError:
        return None
    words = {0: "real", 1: "fake"}.get(-1 if pd.isna(row.label) else row.label, "")
    return {
        "name": name, "image": url, "clip": clip, "words": words,
        "link": None if embed else _link(row.path, page),
    }  # fmt: skip


def _link(video: str, page: Path) -> str | None:
    """Where a video lies, seen from the page; it is opened when somebody clicks."""
    if os.path.isdir(video) or remote_address(video) is not None:
        return None
    try:
        way = os.path.relpath(video, page.resolve().parent)
    except ValueError:  # another drive
        return None
    way = way.replace(os.sep, "/")
    return urllib.parse.quote(way.encode("utf-8", "surrogateescape"))


def _faces(
    found: Any, captions: Mapping[str, str], rng: np.random.Generator
) -> list[dict[str, Any]]:
    frame = found.table.table
    frame = frame[frame["readable"]]
    shown = []
    for part in (frame["label"] == 1, frame["label"] == 0, frame["label"].isna()):
        shown.append(_some(frame[part.fillna(False)], rng, _FACES // 2))
    pictures = []
    for row in pd.concat(shown).itertuples():
        try:
            faces = find_faces(row.path)
        except VideoReadError:
            continue
        pictures.append(
            {
                "name": captions[row.video_id],
                "haar": image_url(faces.by_haar, _FACE_PICTURE),
                "dlib": image_url(faces.by_dlib, _FACE_PICTURE),
                "counts": faces.counts,
            }
        )
    return pictures


# Numbers


def _varies(found: Any, name: str) -> bool:
    return found.table.table[name].nunique() > 1


def _constant(found: Any) -> str:
    """What is the same in all videos, in words."""
    frame = found.table.table
    same = [
        f"{words}: {_cell(frame[name].dropna().iloc[0])}"
        for name, words in _WORDS.items()
        if frame[name].nunique() == 1 and name != "file_size"
    ]
    return "; ".join(same)
