"""Fits strategies on one side of each split and scores the other."""

import inspect
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from base_models.runtime.failures import reason_of
from base_models.runtime.parallel import run_tasks
from base_models.runtime.progress import progress_bar
from base_models.store.store import Store
from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN
from ensemble.comparison.inputs import ComparisonInput
from ensemble.comparison.nested_cv import MemberScores, on_one_scale
from ensemble.comparison.protocol_registry import Split


@dataclass
class Panel:
    """One set of videos that all members and strategies are judged on.

    Attributes
    ----------
    name : str
        What was held out, such as a method; "" where it is groups alone.
    repeat : int
    rows : int ndarray of shape (n_judged,)
        Rows of the score table.
    y : int ndarray of shape (n_judged,)
        1 for fake.
    scores : DataFrame of shape (n_judged, n_strategies)
        P(fake) of members and strategies, none fitted on these videos' groups; indexed
        by `rows`, NaN where there is none.
    fold : int ndarray of shape (n_judged,)
        Videos of one fold were judged by the same fits.
    """

    name: str
    repeat: int
    rows: np.ndarray
    y: np.ndarray
    scores: pd.DataFrame
    fold: np.ndarray

    def common(self) -> "Panel":
        """Keep the videos that every member and strategy has scored.

        Examples
        --------
        >>> scores = pd.DataFrame({"a": [0.1, 0.9], "b": [0.2, np.nan]})
        >>> rows = np.arange(2)
        >>> Panel("", 0, rows, np.array([0, 1]), scores, rows).common().rows.tolist()
        [0]
        """
        scored = self.scores.notna().all(axis=1).to_numpy()
        return replace(
            self, rows=self.rows[scored], y=self.y[scored],
            scores=self.scores[scored], fold=self.fold[scored],
        )  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What was judged in a comparison, before it is measured.

    Attributes
    ----------
    splits : list of Split
    notes : dict
        What a reader should know of them.
    scores : MemberScores
    inverted : list of str
        Members that rank reals above fakes.
    combiners : dict of str to Combiner
        The strategies, unfitted.
    panels : list of Panel
    failed : dict of str to str
        Members and strategies that failed and were left out, and why.
    """

    splits: list[Split]
    notes: dict
    scores: MemberScores
    inverted: list[str]
    combiners: dict
    panels: list[Panel]
    failed: dict[str, str] = field(default_factory=dict)

    def without(self, failed: dict[str, str]) -> "Evaluation":
        """Return it without strategies that failed after they were judged."""
        if not failed:
            return self
        combiners = {n: one for n, one in self.combiners.items() if n not in failed}
        panels = [
            replace(panel, scores=panel.scores.drop(columns=list(failed)))
            for panel in self.panels
        ]
        failed = self.failed | failed
        return replace(self, combiners=combiners, panels=panels, failed=failed)


@dataclass(frozen=True)
class _Rows:
    """What one split gives a strategy: scores to learn from, and scores to judge."""

    learned: np.ndarray  # (n_train, n_members)
    is_fake: np.ndarray  # (n_train,)
    codes: np.ndarray  # (n_train,)
    judged: np.ndarray  # (n_test, n_members)
    names: list  # of the members
    fold: np.ndarray | None  # (n_train,) in which the scores came about
    shift: np.ndarray | None  # (n_train,) what will be new in use


def judge(
    data: ComparisonInput,
    splits: list[Split],
    scores: MemberScores,
    combiners: dict,
    folds: list | None = None,
    n_jobs: int | None = None,
    store: Store | None = None,
    verbose: bool = False,
    failed: dict[str, str] | None = None,
) -> list[Panel]:
    """Return the panels: scores of everyone on what nobody learned from.

    Parameters
    ----------
    data : ComparisonInput
    splits : list of Split
    scores : MemberScores
        Members' scores for these splits.
    combiners : dict of str to Combiner
        Unfitted.
    folds : list of (int ndarray or None) or None, default=None
        For each split the fold of each training row, where its members' scores came
        about; strategies learn of it what they learn beside any out-of-fold table.
    n_jobs : int or None, default=None
        Fits side by side, as joblib counts.
    store : Store or None, default=None
        Where finished fits' scores are kept, to go on from.
    verbose : bool, default=False
        Show a progress bar on a terminal.
    failed : dict of str to str or None, default=None
        Strategies that fail go there, with the reason, and are left out of all panels.
        None raises their error, as is done in any case for the two that all others are
        measured against.

    Returns
    -------
    list of Panel
    """
    names = data.names
    rows = [
        _Rows(learned, data.is_fake[split.train], data.codes[split.train], judged,
              names, fold, shift_of(data, split, learned))
        for split, learned, judged, fold in zip(
            splits, scores.learned, scores.judged, folds or [None] * len(splits),
            strict=True,
        )
    ]  # fmt: skip
    tasks = [  # the slowest, which come last, are begun first
        (number, name) for name in reversed(combiners) for number in range(len(splits))
    ]
    fits = ((name, combiners[name], rows[number], store) for number, name in tasks)
    give_up = None if failed is None else _given_up
    done = run_tasks(_scores_or_error, fits, n_jobs, give_up)
    text = "fitting strategies" if verbose else None
    fitted = dict(_without_errors(progress_bar(done, text, len(tasks)), tasks, failed))
    combiners = [name for name in combiners if name not in (failed or {})]
    by_split = [
        dict(zip(names, on_one_scale(learned, judged, names).T, strict=True))
        for learned, judged in zip(scores.learned, scores.judged, strict=True)
    ]
    for place, (number, name) in enumerate(tasks):
        if name in combiners:
            by_split[number][name] = fitted[place]
    panels = {}
    for split, columns in zip(splits, by_split, strict=True):
        part = pd.DataFrame(columns, index=split.test)[[*names, *combiners]]
        panels.setdefault((split.name, split.repeat), []).append((split, part))
    return [_panel(*key, parts, data.is_fake) for key, parts in panels.items()]


def takes_shift(combiner: Any) -> bool:
    """Say whether a combiner takes ``shift=`` in `fit`, as `AutoCombiner` does.

    Examples
    --------
    >>> from ensemble.combiners import AutoCombiner, Voting
    >>> takes_shift(AutoCombiner()), takes_shift(Voting())
    (True, False)
    """
    return "shift" in inspect.signature(combiner.fit).parameters


def shift_of(
    data: ComparisonInput, split: Split, learned: np.ndarray
) -> np.ndarray | None:
    """Return `shift` of a split's training rows; None where none can be held out.

    Parameters
    ----------
    data : ComparisonInput
    split : Split
    learned : ndarray of shape (n_train, n_members)
        Scores of the training rows; rows without any count for nothing.

    Returns
    -------
    ndarray of shape (n_train,) or None
    """
    if data.shift is None:
        return None
    shift, is_fake = data.shift[split.train], data.is_fake[split.train]
    scored = ~np.isnan(learned).all(axis=1)
    several = (
        len(np.unique(shift[scored & (is_fake == label)])) > 1 for label in (0, 1)
    )
    return shift if any(several) else None


def of_one_fit(panels: list[Panel], table_folds: np.ndarray | None) -> list[Panel]:
    """Split the folds of panels by those in which a table's members were fitted."""
    if table_folds is None:
        return panels
    split_panels = []
    for panel in panels:
        both = np.column_stack([panel.fold, table_folds[panel.rows]])
        fold = np.unique(both, axis=0, return_inverse=True)[1].ravel()
        split_panels.append(replace(panel, fold=fold))
    return split_panels


def of_the_same_videos(panels: list[Panel], others: list[Panel]) -> list[Panel]:
    """Take from panels of all videos, one a repeat, what the others judge."""
    whole = {panel.repeat: panel for panel in panels}
    return [
        replace(
            other,
            scores=whole[other.repeat].scores.loc[other.rows],
            fold=whole[other.repeat].fold[other.rows],
        )
        for other in others
    ]


def _panel(name, repeat, parts, is_fake):
    scores = pd.concat([part for _, part in parts]).sort_index()
    fold = pd.concat([pd.Series(s.fold, index=s.test) for s, _ in parts]).sort_index()
    rows = scores.index.to_numpy()
    return Panel(name, repeat, rows, is_fake[rows], scores, fold.to_numpy())


def _scores_or_error(name, combiner, rows, store):
    """Return the scores, or the error in place of them."""
    try:
        return _fitted_scores(name, combiner, rows, store)
    except RuntimeError as error:
        return error


def _given_up(task, reason):
    return RuntimeError(f"strategy {task[0]!r} failed: {reason}")


def _without_errors(done, tasks, failed):
    """Hand on scores; note who failed, or raise the error where it must not be."""
    for place, scores in done:
        if not isinstance(scores, Exception):
            yield place, scores
            continue
        name = tasks[place][1]
        if failed is None or name in (MEAN, CHOSEN_MEMBER):
            raise scores
        failed.setdefault(name, reason_of(scores.__cause__ or scores))


def _fitted_scores(name, combiner, rows, store):
    """Fit one strategy and score what is judged, unless that was done before."""
    key = None if store is None else _key(combiner, rows)
    stored = None if key is None else store.get("judged", key)
    if stored is not None:
        return stored[0]["score"]
    learned = pd.DataFrame(rows.learned, columns=rows.names)
    if rows.fold is not None:
        learned.attrs["fold"] = dict(enumerate(rows.fold.tolist()))
    judged = pd.DataFrame(rows.judged, columns=rows.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 20 strategies and their inner folds
        try:
            fitted = clone(combiner).fit(
                learned, rows.is_fake, groups=rows.codes, **_shift(combiner, rows)
            )
            score = fitted.fake_score(judged)
        except Exception as error:
            raise RuntimeError(
                f"strategy {name!r} failed on {len(rows.is_fake)} training videos, "
                f"{int(rows.is_fake.sum())} of them fake: {error}; leave it out of "
                "strategies=, or mend it"
            ) from error
    if key is not None:
        store.put("judged", key, {"score": score})
    return score


def _shift(combiner, rows):
    """Return the argument `shift` of a fit, where there is one and it is taken."""
    if rows.shift is None or not takes_shift(combiner):
        return {}
    return {"shift": rows.shift}


def _key(combiner, rows):
    """Name a fit by all that decides it; None for a combiner that cannot be named."""
    from base_models.store.store import fingerprint, store_key
    from ensemble._version import __version__

    data = [rows.learned, rows.is_fake, rows.codes, rows.judged, rows.names]
    data += [] if rows.fold is None else [rows.fold]
    data += list(_shift(combiner, rows).values())
    try:
        return store_key(of=fingerprint(combiner), version=__version__, data=data)
    except TypeError:
        return None
