"""Which columns of a table are detectors' scores, and what must not pass for one."""

import fnmatch
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError
from base_models.inputs import encode_labels
from base_models.naming import did_you_mean
from ensemble.scores.formats import Table, column_named, to_numbers

COMPANIONS = ("label", "group", "fold")
RESERVED = ("video", *COMPANIONS, "reason")
ID_COLUMNS = ("video", "video_id")
# What columns are called that say who is seen, or what a video was made of.
GROUP_NAMES = (
    "groups", "group_id", "person", "person_id", "people", "identity", "identities",
    "id_person", "subject", "subject_id", "actor", "actor_id", "speaker", "speaker_id",
    "source_id", "source_ids", "original_id", "target_id",
)  # fmt: skip
# By name, where nobody says which columns are scores.
_NOT_SCORES = {
    "", "id", "index", "row", "path", "file", "filename", "clip", "method", "source",
    "compression", "dataset", "time", "date", "split", "subset", "seed", "original",
    "frame", "frames", "n_frames", "num_frames", "frame_count", "frame_number",
    "frame_index", "fps", "target", "targets", "width", "height", "duration", "size",
    "threshold",
    "prediction", "pred", *GROUP_NAMES,
}  # fmt: skip
_LABEL_NAMES = {
    "y", "y_true", "true", "truth", "ground_truth", "gt", "target", "targets", "class",
    "is_fake", "fake", "is_real", "real", "labels", "true_label", "verdict",
}  # fmt: skip
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")
_ENOUGH, _ENOUGH_OF_EACH = 20, 5  # videos for an AUC of 1 to be no accident


def companion_columns(
    names: list[str],
    label: str | None = None,
    group: str | None = None,
    index: str | None = None,
) -> dict[str, str]:
    """Say which columns hold label, group, fold, reason and ids.

    Parameters
    ----------
    names : list of str
        All columns.
    label, group, index : str or None
        As named by the user.

    Returns
    -------
    dict of str to str
        ``label``, ``group``, ``fold``, ``reason``, ``index``, those that there are;
        by default also in other case, such as ``Label``.

    Examples
    --------
    >>> from ensemble.scores.columns import companion_columns
    >>> companion_columns(["video", "Label", "a"])
    {'label': 'Label', 'index': 'video'}
    """
    stated = {"label": label, "group": group, "fold": None, "reason": None}
    found = {}
    for key, name in {**stated, "index": index}.items():
        if name is None:
            continue
        column = column_named(names, name)
        if column is None:
            raise ScoreTableError(
                f"{key}={name!r} is none of the columns {some_names(names)}"
                + did_you_mean(name, map(str, names))
            )
        found[key] = column
    for key in stated:
        name = found.get(key) or column_named(names, key, alone=True)
        if name is not None and name not in found.values():
            found[key] = name
    for name in ID_COLUMNS:
        known = column_named(names, name)
        if known is not None:
            found.setdefault("index", known)
    order = [*stated, "index"]
    return {key: found[key] for key in order if key in found}


def score_columns(
    names: list[str], scores: str | Sequence[str] | None, companions: dict[str, str]
) -> list[str]:
    """Pick the detectors' columns.

    Parameters
    ----------
    names : list of str
        All columns.
    scores : str, sequence of str or None
        A pattern, names, or None: all but companions, ids, and what is by its name no
        score, which a warning lists.
    companions : dict of str to str
        From `companion_columns`.

    Returns
    -------
    list of str
    """
    if scores is None:
        taken = {*companions.values(), *RESERVED, *ID_COLUMNS}
        left = [name for name in names if name not in taken]
        columns = [n for n in left if str(n).strip().lower() not in _NOT_SCORES]
        aside = [name for name in left if name not in columns]
        if columns and [name for name in aside if name]:
            warnings.warn(
                f"not taken for scores, by their names: {some_names(aside)}; name the "
                "detectors' columns with scores= if some are",
                DeepfakeEnsembleWarning,
                stacklevel=4,
            )
    elif isinstance(scores, str):
        columns = [name for name in names if fnmatch.fnmatchcase(str(name), scores)]
    else:
        columns = list(scores)
        for name in columns:
            if name not in names:
                raise ScoreTableError(
                    f"scores names {name!r}, which is none of the columns "
                    f"{some_names(names)}" + did_you_mean(name, map(str, names))
                )
    if not columns:
        raise ScoreTableError(
            f"no detector column found with scores={scores!r} among {some_names(names)}"
        )
    return columns


def score_values(
    table: Table | pd.DataFrame, columns: list[str], ids: list[str], named: bool = False
) -> np.ndarray:
    """Return the scores of a table as numbers.

    Parameters
    ----------
    table : Table or DataFrame
        Text may hold decimal commas and words for missing scores.
    columns : list of str
        The detectors.
    ids : list of str
        Row ids, for messages.
    named : bool, default=False
        Whether someone named each column, so that it is the entry which is wrong.

    Returns
    -------
    ndarray of shape (n_videos, n_detectors)
    """
    advice = (
        "write a number, or leave a missing score empty (NA, n/a and - mean it, too)"
        if named
        else "choose the detectors' columns with scores=, or set the label and group "
        "columns with label= and group="
    )
    frame = table.frame if isinstance(table, Table) else table
    values = np.empty((len(frame), len(columns)))
    for place, name in enumerate(columns):
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and column.dtype != bool:
            values[:, place] = column.to_numpy(float, na_value=np.nan)
            continue
        if column.dtype == bool:
            wrong = np.zeros(1, int)
        else:
            texts = column.astype(object).where(column.notna(), "")
            values[:, place], wrong = to_numbers(texts)
        if wrong.size:
            where = ""
            if isinstance(table, Table):
                where = f"{table.name}, line {table.lines[wrong[0]]}: "
            raise ScoreTableError(
                f"{where}column {name!r} is not numeric: {column.iloc[wrong[0]]!r} for "
                f"{ids[wrong[0]]!r}; {advice}"
            )
    return values


def check_not_labels(
    values: np.ndarray,
    columns: list[str],
    label: Iterable[Any] | None,
    by_default: bool,
) -> None:
    """Refuse a copy of the label among the scores; point out what separates perfectly.

    Parameters
    ----------
    values : ndarray of shape (n_videos, n_detectors)
    columns : list of str
    label : array-like of shape (n_videos,) or None
        As given; missing entries allowed.
    by_default : bool
        Whether nobody chose the columns: only then is a copy refused.

    Raises
    ------
    ScoreTableError
        Naming a column of two whole numbers that follow the label, or the reverse.

    Examples
    --------
    >>> from ensemble.scores.columns import check_not_labels
    >>> check_not_labels(
    ...     np.array([[0.2, 0.0], [0.7, 1.0]]), ["a", "y_true"], ["REAL", "FAKE"], True
    ... )
    Traceback (most recent call last):
    base_models.errors.ScoreTableError: column 'y_true' is a copy of the label and no \
score; choose the detectors' columns with scores=
    """
    is_fake = _codes_of(label, len(values))
    perfect = []
    for place, name in enumerate(columns):
        score = values[:, place]
        if is_fake is None:
            known = np.unique(score[~np.isnan(score)])
            if by_default and name.lower() in _LABEL_NAMES and _two_whole(known):
                raise ScoreTableError(
                    f"column {name!r} looks like the label and no score; name it with "
                    "label=, or choose the detectors' columns with scores="
                )
            continue
        both = ~np.isnan(score) & ~np.isnan(is_fake)
        fakes, reals = score[both & (is_fake == 1)], score[both & (is_fake == 0)]
        if not len(fakes) or not len(reals):
            continue
        apart = fakes.min() > reals.max() or reals.min() > fakes.max()
        if apart and by_default and _two_whole(np.unique(score[both])):
            raise ScoreTableError(
                f"column {name!r} is a copy of the label and no score; choose the "
                "detectors' columns with scores="
            )
        enough = min(len(fakes), len(reals)) >= _ENOUGH_OF_EACH
        if apart and enough and both.sum() >= _ENOUGH:
            perfect.append(name)
    if perfect:
        warnings.warn(
            f"the scores in {some_names(perfect)} separate reals and fakes without one "
            "mistake (AUC 1 or 0): is that a copy of the label, or were they computed "
            "by a detector that was trained on these videos?",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )


def typed(column: pd.Series) -> list[Any]:
    """Undo what CSV and parquet do to types: whole numbers and booleans.

    Parameters
    ----------
    column : Series
        "" and NaN are missing. ``096`` is no number but a name.

    Returns
    -------
    list
        None where an entry is missing.

    Examples
    --------
    >>> from ensemble.scores.columns import typed
    >>> typed(pd.Series(["1", "0", ""])), typed(pd.Series(["096", "7"]))
    ([1, 0, None], ['096', '7'])
    """
    if pd.api.types.is_float_dtype(column):
        present = column.dropna()
        if (present == np.round(present)).all():
            return [None if pd.isna(entry) else int(entry) for entry in column]
    if pd.api.types.is_numeric_dtype(column):
        return list(column.tolist())
    entries = [
        entry.strip() if isinstance(entry, str) else entry for entry in column.tolist()
    ]
    entries = [None if e is None or pd.isna(e) or e == "" else e for e in entries]
    texts = [entry for entry in entries if entry is not None]
    if not texts or not all(isinstance(text, str) for text in texts):
        return entries
    if all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
        return [None if t is None else int(t.split(".")[0]) for t in entries]
    if {text.lower() for text in texts} <= {"true", "false"}:
        return [None if t is None else t.lower() == "true" for t in entries]
    return entries


def pool_table(
    table: Table | pd.DataFrame,
    scores: str | Sequence[str] | None = None,
    label: str | None = None,
    group: str | None = None,
    index: str | None = None,
    pool: str | Callable[..., float] = "mean",
    aside: Collection[str] = (),
) -> Table | pd.DataFrame:
    """Bring a table of frames, several rows a video, to one row a video.

    Parameters
    ----------
    table : Table or DataFrame
    scores, label, group, index
        As for `ensemble.scores.read_scores`; there must be a column of ids.
    pool : str or callable, default="mean"
        How the scores of a video are pooled: see
        `base_models.scoring.pooling.pool_scores`.
    aside : collection of str, default=()
        More columns that are no scores where `scores` is None.

    Returns
    -------
    Table or DataFrame
        Videos in the order of their first rows. Columns that differ within a video
        are left out.

    Raises
    ------
    ScoreTableError
        If label or group differ within a video.

    Examples
    --------
    >>> from ensemble.scores.columns import pool_table
    >>> frames = pd.DataFrame(
    ...     {"video": ["a", "a", "b"], "p_one": [0.2, 0.4, 0.9], "label": [0, 0, 1]}
    ... )
    >>> pool_table(frames)["p_one"].round(2).tolist()
    [0.3, 0.9]
    """
    from base_models.scoring.pooling import pool_scores

    frame = table.frame if isinstance(table, Table) else table
    companions = companion_columns(list(frame.columns), label, group, index)
    if "index" not in companions:
        raise ScoreTableError(
            f"rows are pooled by video; name the column of ids with index= "
            f"(--index): one of {some_names(list(frame.columns))}"
        )
    names = [name for name in frame.columns if scores is not None or name not in aside]
    columns = score_columns(names, scores, companions)
    ids = frame[companions["index"]]
    named = scores is not None and not isinstance(scores, str)
    values = score_values(table, columns, ids.tolist(), named)
    codes, names = pd.factorize(ids)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ScoreTableError(
            f"every row needs the id of its video; row {row} has none"
        )
    first = np.unique(codes, return_index=True)[1]
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes)))
    pooled = {}
    for name in frame.columns:
        if name in columns:
            score = values[:, columns.index(name)]
            pooled[name] = [pool_scores(score[rows], pool) for rows in rows_of[:-1]]
            continue
        entries = pd.factorize(frame[name])[0]
        differing = np.flatnonzero(entries != entries[first][codes])
        if not differing.size:
            pooled[name] = frame[name].to_numpy()[first]
        elif name in (companions.get("label"), companions.get("group")):
            raise ScoreTableError(
                f"video {names[codes[differing[0]]]!r} has several entries in column "
                f"{name!r}; a video has one label and one group"
            )
    result = pd.DataFrame(pooled)
    if not isinstance(table, Table):
        return result
    return Table(result, [table.lines[row] for row in first], table.name)


def some_names(names: Iterable[Any], at_most: int = 12) -> str:
    names = [repr(name) for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def _codes_of(label: Any, n_videos: int) -> np.ndarray | None:
    """Return 0, 1 or NaN for each label, None where they tell nothing."""
    if label is None:
        return None
    label = pd.Series(list(label), dtype=object)
    known = label.notna().to_numpy()
    if not known.any():
        return None
    codes = np.full(n_videos, np.nan)
    try:
        codes[known] = encode_labels(
            label[known].tolist(), strict=False, allow_one_class=True
        )[1]
    except ValueError:  # whoever needs the labels says what is wrong with them
        return None
    return codes


def _two_whole(values: np.ndarray) -> bool:
    return len(values) == 2 and (values == np.round(values)).all()
