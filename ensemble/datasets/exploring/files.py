"""What lies in the folders of a data set, beside what its lists name."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from base_models.addresses import remote_address
from base_models.errors import DeepfakeEnsembleWarning
from ensemble.datasets.kinds.faceforensics import is_folder_of_masks
from ensemble.datasets.kinds.files import is_there, named
from ensemble.datasets.video_table import VideoTable


def file_census(
    root: str | Path, folders: Collection[str] | None = None
) -> pd.DataFrame:
    """Count the files below a folder by folder and ending.

    Parameters
    ----------
    root : str or Path
        Hidden files and folders are passed over, links to folders are not followed.
    folders : collection of str or None, default=None
        Count in these alone, full paths; None counts in all below the root.

    Returns
    -------
    DataFrame, one row a folder and ending
        files, bytes, masks (how many of the files are masks of fakes, in the layout
        of FaceForensics++); the folder is relative to the root, with slashes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.datasets.exploring.files import file_census
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.mp4", "b.MP4", "metadata.json"):
    ...     _ = (folder / name).write_text("12")
    >>> file_census(folder)["files"].to_dict()
    {('.', '.json'): 1, ('.', '.mp4'): 2}
    """
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for folder, names in _walked(root, folders):
        place = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            try:
                size = os.stat(os.path.join(folder, name)).st_size
            except OSError:  # a link that leads nowhere
                size = 0
            ending = os.path.splitext(name)[1].lower() or "(none)"
            found[place, ending].append(size)
    rows = [
        (*key, len(sizes), sum(sizes), len(sizes) * _are_masks(root, *key))
        for key, sizes in sorted(found.items())
    ]
    columns = ["folder", "ending", "files", "bytes", "masks"]
    return pd.DataFrame(rows, columns=columns).set_index(["folder", "ending"])


def lists_against_folders(
    table: VideoTable,
    root: str | Path | None,
    folders: Collection[str] | None = None,
) -> pd.DataFrame:
    """Compare what the lists of a data set name with what lies in its folders.

    Parameters
    ----------
    table : VideoTable
        Read with ``missing="keep"``: the videos that are not there are in it.
    root : str, Path or None
        Where to look for videos that no list names; None looks for none.
    folders : collection of str or None, default=None
        As for `file_census`.

    Returns
    -------
    DataFrame
        video, and where it is: "list" for one that is listed and not there, "folder"
        for one that is there and of which no list says anything; masks of fakes, in
        the layout of FaceForensics++, are not videos.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets import VideoTable
    >>> table = VideoTable(pd.DataFrame({"path": ["lost.mp4"], "label": [0]}))
    >>> lists_against_folders(table, None).to_numpy().tolist()
    [['lost.mp4', 'list']]
    """
    from base_models.video.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    frame = table.table
    is_there = frame["path"].map(_is_named_rightly).to_numpy(bool)
    # DFDC's videos without an entry are rows of which nothing is known.
    unknown = (frame["label"].isna() & frame["split"].isna()).to_numpy() & is_there
    no_label = frame["label"].isna().all()
    named = [] if no_label else frame["video_id"][unknown].tolist()
    rows = [(video, "list") for video in frame["video_id"][~is_there]]
    rows += [(video, "folder") for video in named]
    if root is not None and os.path.isdir(root):
        listed = {os.path.realpath(path) for path in table.videos}
        suffixes = set(VIDEO_SUFFIXES)  # images may be masks, or frames of a video
        if any(os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES for path in listed):
            suffixes |= IMAGE_SUFFIXES
        for folder, names in _walked(root, folders, listed):
            if is_folder_of_masks(folder):
                continue
            for name in names:
                path = os.path.join(folder, name)
                ending = os.path.splitext(name)[1].lower()
                if ending in suffixes and os.path.realpath(path) not in listed:
                    place = os.path.relpath(path, root).replace(os.sep, "/")
                    rows.append((place, "folder"))
    return pd.DataFrame(rows, columns=["video", "only_in"])


def warn_of_unlisted(
    table: VideoTable, root: str | Path, split: str | None = None
) -> None:
    """Warn of videos that lie in the folder of a data set and are none of it.

    Parameters
    ----------
    table : VideoTable
        The whole of it.
    root : str or Path
        A table lists what it lists; of a folder all videos may be meant.
    split : str or None, default=None
        Of the data set; the others are left out on purpose then.
    """
    if split is not None or not os.path.isdir(root):
        return
    found = lists_against_folders(table, root)
    unlisted = found["video"][found["only_in"] == "folder"].tolist()
    if unlisted:
        warnings.warn(
            f"{root} is read as a data set ({table.kind}); {len(unlisted)} videos in "
            f"it are no part of that and are not looked at: {named(unlisted)}. Give "
            "them by name to have them looked at",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )


def _is_named_rightly(path: str) -> bool:
    """Whether a file is there; servers are not asked."""
    return is_there(path) or remote_address(path) is not None


def _are_masks(root: str | Path, folder: str, ending: str) -> bool:
    from base_models.video.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    is_shown = ending in VIDEO_SUFFIXES or ending in IMAGE_SUFFIXES
    return is_shown and is_folder_of_masks(os.path.join(root, folder))


def _walked(
    root: str | Path,
    folders: Collection[str] | None,
    but: Collection[str] = frozenset(),
) -> Iterator[tuple[str, list[str]]]:
    """Yield folders, sorted, and the files in each, without those that are hidden."""
    for folder, inner, names in os.walk(root):
        full = os.path.abspath(folder)
        inner[:] = sorted(
            name
            for name in inner
            if not name.startswith(".")
            and (folders is None or _leads_to(os.path.join(full, name), folders))
            and (not but or os.path.realpath(os.path.join(folder, name)) not in but)
        )
        if folders is None or full in folders:
            yield folder, sorted(name for name in names if not name.startswith("."))


def _leads_to(folder: str, folders: Collection[str]) -> bool:
    """Whether one of some folders is a folder or lies below it."""
    start = os.path.join(folder, "")
    return any(each == folder or each.startswith(start) for each in folders)
