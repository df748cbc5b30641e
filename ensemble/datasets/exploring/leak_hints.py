"""Asks of what has nothing to do with forgery whether it tells the classes apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ensemble.datasets.video_table import VideoTable
from ensemble.metrics.ranking import auc_interval
from ensemble.resampling.splitters import StratifiedGroupFolds

# What is asked, and the columns that say it.
HINTS = {
    "file size": ("file_size",),
    "resolution": ("width", "height"),
    "codec": ("codec",),
    "frame rate": ("fps",),
    "length": ("seconds",),
    "brightness": ("brightness",),
    "quantiser": ("quantiser",),
}
TOGETHER = "all of them"
MIN_GROUPS = 10  # with each class, so that an interval says anything
_FOLDS, _BINS = 5, 8
_SAME, _FEW = "the same in all videos", "too few groups"


def leak_hints(
    table: VideoTable, level: float = 0.95, random_state: int = 0
) -> pd.DataFrame:
    """Measure how well each file property alone separates fakes from reals.

    For each, and for all together, a logistic regression of it cut into up to eight
    ranges is cross-validated, whole groups left out. A property that separates the
    classes is what a detector may learn in place of forgery.

    Parameters
    ----------
    table : VideoTable
        From `ensemble.datasets.index_videos`; videos that cannot be read, or have no
        label, are left out.
    level : float, default=0.95
        That all intervals hold together; each is the wider for it (Bonferroni).
    random_state : int, default=0
        Of folds and bootstrap draws.

    Returns
    -------
    DataFrame, one row a property
        auc (within folds), low, high (over bootstrap draws of groups), is_leak
        (boolean: the interval lies above 0.5; NA where that was not tested), reason
        (why there is no figure: one value alone, which is no leak; nothing known, or
        fewer than 10 groups with either class, which was not tested), columns.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from ensemble.datasets import VideoTable, leak_hints
    >>> y, rng = np.arange(60) % 2, np.random.default_rng(0)
    >>> frame = pd.DataFrame({"path": np.arange(60).astype(str), "label": y})
    >>> frame["width"] = np.where(y == 1, 640, 720)
    >>> frame["brightness"] = rng.random(60)
    >>> leak_hints(VideoTable(frame))["is_leak"][["resolution", "brightness"]].tolist()
    [True, False]
    """
    frame = table.table
    keep = frame["label"].notna().to_numpy(bool)
    if "readable" in frame:
        keep = keep & frame["readable"].to_numpy(bool)
    table = table.subset(where=keep)
    frame = table.table
    y = frame["label"].to_numpy(int)
    groups = np.asarray(table.groups or frame["video_id"].tolist(), dtype=object)
    found = {
        name: [c for c in columns if c in frame and frame[c].notna().any()]
        for name, columns in HINTS.items()
    }
    varied = {
        name: [column for column in columns if frame[column].nunique(dropna=False) > 1]
        for name, columns in found.items()
    }
    asked = {name: columns for name, columns in varied.items() if columns}
    if len(asked) > 1:
        asked[TOGETHER] = [column for columns in asked.values() for column in columns]
    each_level = 1 - (1 - level) / max(len(asked), 1)
    few = _too_few(y, groups)
    rows = []
    for name in (*HINTS, *([TOGETHER] if TOGETHER in asked else [])):
        columns = asked.get(name, [])
        auc, low, high, reason = math.nan, math.nan, math.nan, few
        if not columns:
            reason = _SAME if found[name] else "not known"
        elif not few:
            score, fold = _out_of_fold(frame[columns], y, groups, random_state)
            auc, low, high = auc_interval(
                y, score, groups, fold, level=each_level, random_state=random_state
            )
            reason = "no interval over groups" if math.isnan(low) else ""
        is_known = reason in ("", _SAME)
        is_leak = bool(low > 0.5) if is_known else pd.NA
        rows.append((name, auc, low, high, is_leak, reason, ", ".join(columns)))
    names = ["property", "auc", "low", "high", "is_leak", "reason", "columns"]
    hints = pd.DataFrame(rows, columns=names).set_index("property")
    return hints.astype({"is_leak": "boolean"})


def not_tested(hints: pd.DataFrame) -> str:
    """Say which properties were not tested, and why.

    Parameters
    ----------
    hints : DataFrame
        From `leak_hints`.

    Returns
    -------
    str
        Without a full stop; "" where all were tested.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets import VideoTable, leak_hints
    >>> frame = pd.DataFrame({"path": ["a", "b"], "label": [0, 1], "width": [640, 720]})
    >>> print(not_tested(leak_hints(VideoTable(frame)))[:56])
    Properties of the files were not tested: too few groups:
    """
    alone = hints.drop(index=TOGETHER, errors="ignore")
    untested = alone[alone["is_leak"].isna()]
    tested = list(alone.index[alone["auc"].notna()])
    if untested.empty:
        return ""
    if tested:
        without = ", ".join(f"{n} ({why})" for n, why in untested["reason"].items())
        return (
            f"Properties of the files were tested in part: {', '.join(tested)}; not "
            f"tested: {without}"
        )
    reasons = list(dict.fromkeys(untested["reason"]))
    few = [reason for reason in reasons if reason.startswith(_FEW)]
    return f"Properties of the files were not tested: {'; '.join(few or reasons)}"


def _too_few(y: np.ndarray, groups: np.ndarray) -> str:
    """Why nothing can be claimed, or ""."""
    counts = [len(set(groups[y == label])) for label in (0, 1)]
    if min(counts) >= MIN_GROUPS:
        return ""
    return (
        f"{_FEW}: {counts[0]} with reals and {counts[1]} with fakes, "
        f"{MIN_GROUPS} of each are needed"
    )


def _out_of_fold(
    frame: pd.DataFrame, y: np.ndarray, groups: np.ndarray, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """P(fake) of each video by a fit that has not seen its group, and its fold."""
    score, fold = np.empty(len(y)), np.empty(len(y), int)
    folds = StratifiedGroupFolds(_FOLDS, random_state=random_state).split(y, y, groups)
    for number, (train, test) in enumerate(folds):
        ranges = np.column_stack(
            [_in_ranges(frame[name], _edges(frame[name].iloc[train])) for name in frame]
        )
        model = make_pipeline(
            OneHotEncoder(handle_unknown="ignore"),
            LogisticRegression(class_weight="balanced"),
        ).fit(ranges[train], y[train])
        score[test] = model.predict_proba(ranges[test])[:, 1]
        fold[test] = number
    return score, fold


def _edges(column: pd.Series) -> np.ndarray | None:
    """Where numbers are cut; None where each value counts by itself."""
    if not pd.api.types.is_numeric_dtype(column):
        return None
    numbers = column.to_numpy(float, na_value=np.nan)
    known = np.unique(numbers[~np.isnan(numbers)])
    if len(known) <= _BINS:
        return (known[1:] + known[:-1]) / 2
    return np.unique(np.nanquantile(numbers, np.arange(1, _BINS) / _BINS))


def _in_ranges(column: pd.Series, edges: np.ndarray | None) -> np.ndarray:
    """Name the range of each value, so that what lies between tells as well."""
    if edges is None:
        return column.astype(object).fillna("unknown").to_numpy(str)
    numbers = column.to_numpy(float, na_value=np.nan)
    place = np.searchsorted(edges, numbers, side="right")
    return np.where(np.isnan(numbers), -1, place).astype(str)
