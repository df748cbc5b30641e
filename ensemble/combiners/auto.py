"""AutoCombiner: tries the family and takes the simplest combiner that is good enough,
averaged with those of other kinds that cannot be told from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ensemble.combiners.base import Nested
from ensemble.combiners.parts.composite import fit_copy, out_of_fold, table_scale
from ensemble.combiners.parts.rows import inner_splits, sample_rows
from ensemble.combiners.registry import Entry, candidate_kinds, register
from ensemble.combiners.stacking import as_combiner
from ensemble.metrics.within_folds import fold_auc

_MAX_TRIED = 2500  # different rows of each class that the choice needs
_N_DRAWS = 500


@register(Entry("auto", label="AutoCombiner", order=20))
class AutoCombiner(Nested):
    """Try combiners on unseen groups and take the simplest that is good enough.

    Each candidate is scored over the same folds, which keep groups whole, by its log
    loss. The first in order of simplicity is taken whose loss exceeds the least by no
    more than `slack` standard errors of that difference, over bootstrap draws of the
    groups. That guards against learning what will not last: a combiner that cannot be
    told from the plain mean on unseen groups is no reason to leave it. Where the groups
    are forgery methods, or sources, unseen groups mean those.

    Several candidates are good enough as a rule. To take one of them alone would be to
    trust the luck of the draw, so the scores of the choice are averaged with those of
    the best good one of every other kind (pool, linear, local, trees, network).

    Parameters
    ----------
    candidates : sequence of names, dict of str to combiner, or None, default=None
        From the simplest on. None is "calibrated" (the mean of log-odds, brought to
        probability by two numbers), "soft", "median", "best_single", "weighted",
        "greedy", "logistic", "dynamic", "lightgbm" and "mlp".
    n_folds : int, default=5
        With fewer groups of a class there are fewer; with only one there are none, and
        the first candidate is taken. Of each class up to 2,500 different rows take
        part.
    slack : float, default=2.0
        Standard errors that simplicity may cost. The least of ten losses is low by luck
        too, so one is little.
    average : bool, default=True
        Average the choice with the best good candidate of each other kind; a candidate
        that is not among the default ones is a kind of its own. False takes the choice
        alone.
    scale : str or None, default="detect"
        What candidates see: "detect" brings columns with values outside 0 to 1 there
        and leaves the others as they are, "rank" and "standard" bring every column
        there by its ranks or by expit((x - mean) / spread), "probability" and
        "log_odds" refuse values outside 0 to 1. None hands on any numbers as they are,
        to candidates that take them. The candidates' own scales follow.
    n_jobs : int or None, default=None
        Candidates tried at once.
    random_state : int, RandomState or None, default=0
        Seed of the folds, the draws and of combiners given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    choice_ : str
        Name of the candidate in use.
    reason_ : str
        Why, in a sentence.
    table_ : DataFrame
        A row a candidate, on unseen groups: "log_loss", "auc" (fakes compared with the
        reals of their own fold, since each fold has a fit of its own), "behind" (its
        loss above the least), "standard_error" of that, whether it is "good_enough",
        and whether its scores are "in_use". It serves the choice; an estimate of how
        the choice performs needs other videos.
    combiner_ : Combiner
        The choice, fitted on all rows.
    combiners_ : dict of str to Combiner
        All whose scores are averaged, the choice first.
    weights_ : ndarray of shape (n_detectors,)
        The weights of the choice, if it has any.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Breiman et al. (1984), Classification and regression trees, for the rule of
    standard errors. Hoeting et al. (1999), Bayesian model averaging: a tutorial, for
    averaging over what the data cannot decide.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * rng.normal(size=60), 0, 1)
    >>> scores = np.column_stack([good, rng.random(60)])  # the second knows nothing
    >>> combiner = AutoCombiner(["log_odds", "logistic"]).fit(scores, y)
    >>> combiner.choice_
    'logistic'
    """

    def __init__(
        self,
        candidates: Any = None,
        n_folds: int = 5,
        slack: float = 2.0,
        average: bool = True,
        scale: str | None = "detect",
        n_jobs: int | None = None,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.candidates = candidates
        self.n_folds = n_folds
        self.slack = slack
        self.average = average
        self.scale = scale
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.fake_label = fake_label

    @property
    def table_(self) -> pd.DataFrame:
        """What was tried, a DataFrame."""
        check_is_fitted(self)
        return pd.DataFrame(self.tried_).set_index("combiner")

    def _scale_name(self):
        return table_scale(self.scale, self._resolved())

    def _fit(self, rows):
        candidates = self._resolved()
        names = list(candidates)
        sample = sample_rows(rows, _MAX_TRIED)
        splits = inner_splits(sample, self.n_folds, self.random_state)
        if splits and len(names) > 1:
            scores = Parallel(n_jobs=self.n_jobs)(
                delayed(out_of_fold)(combiner, sample, splits)
                for combiner in candidates.values()
            )
            tried = self._compare(names, np.array(scores), sample, splits)
            self.choice_ = names[int(np.argmax(tried["good_enough"]))]
            self.reason_ = _reason(tried, self.choice_, len(splits), self.slack)
        else:
            untold = [np.nan] * len(names)
            tried = {
                "combiner": names,
                **dict.fromkeys(
                    ("log_loss", "auc", "behind", "standard_error"), untold
                ),
                "good_enough": [name == names[0] for name in names],
            }
            self.choice_ = names[0]
            self.reason_ = f"{names[0]}: " + (
                "the only candidate"
                if len(names) == 1
                else "the simplest, as a class with one group leaves nothing to try on"
            )
        in_use = [self.choice_]
        if self.average:
            in_use += _best_of_other_kinds(tried, self.choice_)
        if in_use[1:]:
            self.reason_ += f"; averaged with {', '.join(in_use[1:])}"
        self.tried_ = tried | {"in_use": [name in in_use for name in names]}
        self.combiners_ = {name: fit_copy(candidates[name], rows) for name in in_use}
        self.combiner_ = self.combiners_[self.choice_]
        if hasattr(self.combiner_, "weights_"):
            self.weights_ = self._to_table_order(self.combiner_.weights_)

    def _fake_score(self, scores):
        fitted = self.combiners_.values()
        return np.mean([combiner._score_inside(scores) for combiner in fitted], axis=0)

    def _inner(self):
        return self.combiner_

    def _resolved(self):
        given = list(candidate_kinds()) if self.candidates is None else self.candidates
        if isinstance(given, str) or len(given) == 0:
            raise ValueError(
                "candidates must be a list of names or a dict of combiners; got "
                f"{given!r}"
            )
        if not isinstance(given, dict):
            given = dict(zip(map(str, given), given, strict=True))
        return {
            name: as_combiner(one, self.random_state) for name, one in given.items()
        }

    def _compare(self, names, scores, rows, splits):
        right = np.where(rows.is_fake == 1, scores, 1 - scores)
        losses = -np.log(np.clip(np.nan_to_num(right, nan=0.5), 1e-15, 1))
        mean = losses @ rows.weight / rows.weight.sum()
        best = int(np.argmin(mean))
        error = self._standard_errors(losses - losses[best], rows)
        behind = mean - mean[best]
        return {
            "combiner": names,
            "log_loss": mean.tolist(),
            "auc": _aucs(scores, rows, splits),
            "behind": behind.tolist(),
            "standard_error": error.tolist(),
            "good_enough": (behind <= self.slack * error + 1e-9).tolist(),
        }

    def _standard_errors(self, worse, rows):
        """Draw groups with replacement; return how the mean differences spread."""
        groups = np.arange(len(rows)) if rows.groups is None else rows.groups
        n_groups = groups.max() + 1
        by_group = np.array(
            [np.bincount(groups, rows.weight * one, n_groups) for one in worse]
        )
        weight = np.bincount(groups, rows.weight, n_groups)
        # a row without a group of its own stands for as many videos as it weighs
        n_drawn = rows.weight.sum() if rows.groups is None else (weight > 0).sum()
        share = weight / weight.sum() if rows.groups is None else weight > 0
        rng = check_random_state(self.random_state)
        drawn = rng.multinomial(int(n_drawn), share / share.sum(), size=_N_DRAWS)
        if rows.groups is None:
            drawn = drawn / np.where(weight > 0, weight, 1)
        return (by_group @ drawn.T / (drawn @ weight)).std(axis=1)


def _aucs(scores, rows, splits):
    """AUC of each candidate within the folds, on the rows that all have scored."""
    fold = np.full(len(rows), -1)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    here = (fold >= 0) & ~np.isnan(scores).any(axis=0)
    of_fold = rows.is_fake[here], fold[here], rows.weight[here]
    return [
        fold_auc(of_fold[0], score[here], of_fold[1], of_fold[2]) for score in scores
    ]


def _best_of_other_kinds(tried, choice):
    """Names of the best good candidate of each kind but that of the choice."""
    kinds, best = candidate_kinds(), {}
    columns = ("combiner", "log_loss", "good_enough")
    for name, loss, good in zip(*(tried[key] for key in columns), strict=True):
        kind = kinds.get(name, name)
        rival = best.get(kind, (None, np.inf))
        if good and kind != kinds.get(choice, choice) and loss < rival[1]:
            best[kind] = (name, loss)
    return [name for name, _ in best.values()]


def _reason(tried, choice, n_folds, slack):
    names, losses = tried["combiner"], tried["log_loss"]
    best = int(np.argmin(losses))
    place = names.index(choice)
    where = f"over {n_folds} folds of unseen groups"
    if place == best:
        simpler = " and nothing simpler comes close" if place else ""
        return f"{choice}: the least log loss {where} ({losses[best]:.4f}){simpler}"
    return (
        f"{choice}: its log loss {where} ({losses[place]:.4f}) is within {slack:g} "
        f"standard error{'' if slack == 1 else 's'} "
        f"({tried['standard_error'][place]:.4f}) of the least "
        f"({losses[best]:.4f}, {names[best]}), and it is the simplest such"
    )
