"""Candidates of a super learner tried over folds, hopeless ones stopped early."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ensemble.combiners.parts.composite import fit_copy
from ensemble.combiners.parts.rows import Rows
from ensemble.combiners.super_learner.mixture import fit_mixture, mixed, units
from ensemble.metrics.within_folds import fold_auc

_FIRST = 2  # folds after which hopeless candidates are stopped
_HOPELESS = 0.02, 5.0  # log loss behind the best, and standard errors of that
_RARE = 0.1  # what a video counts that a detector has right, in a stress
_TOLD = ("log_loss", "behind", "standard_error")


class Trial(NamedTuple):
    """What came of trying candidates.

    Attributes
    ----------
    mixture : dict
        From `ensemble.combiners.super_learner.mixture.fit_mixture`; a candidate that
        was stopped has weight 0.
    table : dict of str to list
        For each candidate "log_loss", "auc", "behind", "standard_error", "weight" and
        whether it was "stopped".
    stressed : dict of str to list
        "auc" and "auc_of_simplest", of the videos as they are and with those counting
        a tenth that each detector has right.
    """

    mixture: dict[str, Any]
    table: dict[str, list]
    stressed: dict[str, list]


def try_candidates(
    candidates: dict[str, Any],
    rows: Rows,
    splits: list[Any],
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Trial:
    """Score rows by candidates that saw none of their group, and learn to mix them.

    Parameters
    ----------
    candidates : dict of str to Combiner
        The simplest first; it is never stopped.
    rows : Rows
    splits : list of (train, test)
        Each row is in one test part at most.
    n_jobs : int or None, default=None
    verbose : bool, default=False
        Show a progress bar.
    """
    from base_models.runtime.progress import progress_bar

    n_groups = min(units(rows, rows.is_fake == label) for label in (0, 1))
    scores = np.full((len(rows), len(candidates)), np.nan)
    fold = np.full(len(rows), -1)
    going = np.arange(len(candidates))
    table = {key: np.full(len(candidates), np.nan) for key in (*_TOLD, "auc")}
    text = "trying combiners" if verbose else None
    with progress_bar(text=text, total=len(candidates) * len(splits)) as bar:
        for start, stop in ((0, _FIRST), (_FIRST, len(splits))):
            part = splits[start:stop]
            if not part:
                break
            _score(candidates, going, rows, part, scores, n_jobs, bar)
            for number, (_, test) in enumerate(part, start):
                fold[test] = number
            here = np.flatnonzero(fold >= 0)
            tried = np.nan_to_num(scores[np.ix_(here, going)], nan=0.5)
            mixture = fit_mixture(tried, rows[here], n_groups)
            for key in _TOLD:
                table[key][going] = mixture[key]
            table["auc"][going] = _aucs(tried, rows[here], fold[here])
            if stop < len(splits):
                going = going[~_hopeless(mixture)]
                bar.update((len(candidates) - len(going)) * (len(splits) - stop))
    stressed = _stressed(mixture, tried, rows[here], fold[here])
    for key in ("weight", "intercept", "slope"):
        of_all = np.zeros(len(candidates))
        of_all[going] = mixture[key]
        mixture[key] = of_all
    table["weight"] = mixture["weight"]
    table["stopped"] = ~np.isin(np.arange(len(candidates)), going)
    return Trial(mixture, {key: list(table[key].tolist()) for key in table}, stressed)


def _score(candidates, going, rows, splits, scores, n_jobs, bar):
    from base_models.runtime.parallel import run_tasks

    combiners = list(candidates.values())
    todo = [(place, *split) for place in going for split in splits]
    tasks = [(combiners[place], rows, *split) for place, *split in todo]
    for number, score in run_tasks(_score_fold, tasks, n_jobs):
        place, _, test = todo[number]
        scores[test, place] = score
        bar.update()


def _score_fold(combiner, rows, train, test):
    return fit_copy(combiner, rows[train])._score_inside(rows.scores[test])


def _hopeless(mixture):
    """Say which candidates are surely far behind; never the first, the simplest."""
    least, n_errors = _HOPELESS
    behind = mixture["behind"] - n_errors * mixture["standard_error"]
    return (behind > least) & (np.arange(len(behind)) > 0)


def _aucs(scores, rows, fold):
    """AUC of each candidate within the folds."""
    return [fold_auc(rows.is_fake, one, fold, rows.weight) for one in scores.T]


def _stressed(mixture, scores, rows, fold):
    """Measure what is left where the videos that a detector has right are rare."""
    both = np.column_stack([mixed(mixture, scores), scores[:, 0]])
    weights = [rows.weight]
    for column in rows.scores.T:
        known = [column[(rows.is_fake == k) & ~np.isnan(column)] for k in (0, 1)]
        middle = np.mean([one.mean() if len(one) else np.nan for one in known])
        right = (column > middle) == (rows.is_fake == 1)
        weights.append(rows.weight * np.where(right & ~np.isnan(column), _RARE, 1.0))
    auc = [
        [fold_auc(rows.is_fake, one, fold, weight) for weight in weights]
        for one in both.T
    ]
    return {"auc": auc[0], "auc_of_simplest": auc[1]}
