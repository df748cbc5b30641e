"""Tables of real scores for `regret.py`, and what every table is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

N_FOLDS = 5


@dataclass
class ScoreTable:
    """Scores of videos, and the splits over which combiners are measured.

    Parameters
    ----------
    name, about : str
    scores : ndarray of shape (n_rows, n_members)
        NaN where one is missing.
    is_fake : ndarray of shape (n_rows,)
    splits : list of (train, test)
        Row numbers.
    groups : ndarray of shape (n_rows,) or None, default=None
        What combiners get as `groups`.
    shift : ndarray of shape (n_rows,) or None, default=None
        Method of a fake, source of a real: what combiners get as `shift`, where they
        take it. None announces nothing.
    bootstrap : bool, default=False
        The one split is given with the table, so that the spread comes from draws of
        its test rows instead of folds.
    same_prior : bool, default=False
        Weigh test rows so that the share of fakes is that of the training rows: where
        the splits change it by leaving fakes out, and nobody could know.
    """

    name: str
    about: str
    scores: np.ndarray
    is_fake: np.ndarray
    splits: list[tuple[np.ndarray, np.ndarray]]
    groups: np.ndarray | None = None
    shift: np.ndarray | None = None
    bootstrap: bool = False
    same_prior: bool = False


def real_tables(folder: str | Path) -> dict[str, Callable]:
    """Find the tables of scores in a folder; return name -> ``build(seed, max_rows)``.

    A table (``.csv`` or ``.csv.gz``) has a column ``label`` (0 real, 1 fake), members'
    scores in columns ``p_*``, and maybe ``group``. With ``part`` (dev or train, and
    eval or test) combiners are fitted on the first and measured on the second. With
    ``method`` the table comes twice more: each fold holds out one method of the fakes,
    once without a word and once announced.
    """
    found: dict[str, Callable] = {}
    for path in sorted(Path(folder).glob("*.csv*")):
        if path.name.endswith((".csv", ".csv.gz")):
            name = path.name.split(".")[0]
            columns = pd.read_csv(path, nrows=1).columns
            found[name] = partial(_real, path, name)
            if "method" in columns:
                for announced in (False, True):
                    held = f"{name}_new_method{'_announced' * announced}"
                    found[held] = partial(_new_method, path, held, announced)
    if not found:
        raise FileNotFoundError(
            f"no table of scores (*.csv, *.csv.gz) in {folder}; each needs a column "
            "label and columns p_*"
        )
    return found


@lru_cache
def _frame(path):
    frame = pd.read_csv(path)
    scores = frame.filter(regex="^p_")
    if "label" not in frame or scores.shape[1] == 0:
        raise ValueError(
            f"{path} needs a column label (0 real, 1 fake) and scores in columns p_*; "
            f"got {', '.join(frame.columns)}"
        )
    if not set(frame["label"]) <= {0, 1}:
        labels = frame["label"].unique()[:5].tolist()
        raise ValueError(f"{path}: label must be 0 or 1; got {labels}")
    return frame


def _real(path, name, seed, max_rows=None):
    frame = _frame(path)
    if "part" in frame:
        return _given_split(frame, name, max_rows)
    scores, is_fake, groups = _columns(frame)
    rows = some_rows(np.arange(len(frame)), is_fake, max_rows, seed)
    groups = None if groups is None else groups[rows]
    splits = folds_of(is_fake[rows], groups, seed)
    return ScoreTable(
        name, "real scores, group folds", scores[rows], is_fake[rows], splits, groups
    )


def _given_split(frame, name, max_rows):
    part = frame["part"].astype(str).str.lower()
    sides = [part.isin(names) for names in (("train", "dev"), ("test", "eval"))]
    if not all(side.any() for side in sides):
        raise ValueError(
            f"{name}: part must be train or dev, and test or eval; got "
            f"{sorted(set(part))}"
        )
    scores, is_fake, groups = _columns(frame)
    train, test = (
        some_rows(np.flatnonzero(side), is_fake, max_rows, seed=0) for side in sides
    )
    return ScoreTable(
        name,
        "real scores, the given split",
        scores,
        is_fake,
        [(train, test)],
        groups,
        bootstrap=True,
    )


def _new_method(path, name, announced, seed, max_rows=None):
    """Fitted without one method and some groups, tested on these."""
    frame = _frame(path)
    scores, is_fake, groups = _columns(frame)
    rows = some_rows(np.arange(len(frame)), is_fake, max_rows, seed)
    scores, is_fake = scores[rows], is_fake[rows]
    own = np.arange(len(rows)) if groups is None else groups[rows]
    method = frame["method"].astype(str).to_numpy()[rows]
    names = np.unique(method[is_fake == 1])
    splits = []
    for fold, (train, test) in enumerate(folds_of(is_fake, own, seed)):
        held = names[(fold + seed) % len(names)]
        splits.append(
            (
                train[method[train] != held],
                test[(method[test] == held) | (is_fake[test] == 0)],
            )
        )
    source = np.array([f"real {group}" for group in own], dtype=object)
    shift = np.where(is_fake == 1, method, source)
    about = "each fold holds out a method" + ", announced" * announced
    return ScoreTable(
        name,
        about,
        scores,
        is_fake,
        splits,
        None if groups is None else own,
        shift if announced else None,
        same_prior=True,
    )


def _columns(frame):
    groups = None
    if "group" in frame:
        groups = pd.factorize(frame["group"])[0]
    scores = frame.filter(regex="^p_").to_numpy(float)
    return scores, frame["label"].to_numpy(int), groups


def some_rows(rows, is_fake, max_rows, seed):
    """Return all of the rows, or that many of both classes as they lie."""
    if max_rows is None or len(rows) <= max_rows:
        return rows
    kept, _ = train_test_split(
        rows, train_size=max_rows, stratify=is_fake[rows], random_state=seed
    )
    return np.sort(kept)


def folds_of(is_fake, groups, seed):
    cut, around = StratifiedKFold, None
    if groups is not None:
        cut, around = StratifiedGroupKFold, groups
    folds = cut(N_FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(is_fake, is_fake, around))
