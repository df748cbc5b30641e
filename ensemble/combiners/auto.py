"""AutoCombiner: a super learner that mixes combiners by what they did on unseen groups.

Which strategy is best differs from table to table: weak members want their mean,
members of odd scales a regression, members that are right about one source only want
trees. All are tried over the same folds; convex weights mix their log-odds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ensemble.combiners.nested import Nested
from ensemble.combiners.parts.checks import check_whole
from ensemble.combiners.parts.composite import fit_copy, table_scale
from ensemble.combiners.parts.rows import inner_splits, sample_rows
from ensemble.combiners.registry import Entry, default_candidates, register
from ensemble.combiners.stacking import as_combiner
from ensemble.combiners.super_learner.mixture import mixed, units
from ensemble.combiners.super_learner.shift_folds import shift_codes, shift_splits
from ensemble.combiners.super_learner.trial import try_candidates

_MAX_TRIED = 2500  # different rows of each class that the choice needs
_MAX_WEIGHED = 500  # rows that show how much each detector moves
_FEW_GROUPS = 20  # groups of a class below which the reason speaks of it


@register(Entry("auto", label="AutoCombiner", order=20))
class AutoCombiner(Nested):
    """Mix combiners by how well they did on unseen groups: a super learner.

    Each candidate is scored over the same folds, which keep groups whole. Its log-odds
    are calibrated by two numbers. The mix has convex weights that minimise log loss.
    They are pulled towards equal weights of all candidates that perform statistically
    as well as the best, and, the fewer groups there are, towards the first candidate,
    which is the simplest. If groups are forgery methods or sources, the mix is chosen
    for new ones of these; for anything else that will be new in use, pass `shift`.

    Parameters
    ----------
    candidates : sequence of names, dict of str to combiner, or None, default=None
        The simplest first. None is "calibrated" (the mean of log-odds, brought to
        probability by two numbers), "best_single", "logistic", "free_logistic",
        "pairs", "mlp", "small_trees" and "large_trees". "forest" beside them takes
        three times as long and helps on small tables.
    n_folds : int, default=5
        With fewer groups of a class there are fewer; with only one there are none, and
        the first candidate is taken. Of each class up to 2,500 different rows take
        part.
    scale : str or None, default="detect"
        What candidates see: "detect" brings columns with values outside 0 to 1 there
        and leaves the others as they are, "rank" and "standard" bring every column
        there by its ranks or by expit((x - mean) / spread), "probability" and
        "log_odds" refuse values outside 0 to 1. None hands on any numbers as they are,
        to candidates that take them. The candidates' own scales follow.
    n_jobs : int or None, default=None
        Parallel jobs, over candidates and folds.
    verbose : bool, default=False
        Show a progress bar.
    random_state : int, RandomState or None, default=0
        Seed of the folds and of combiners given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    choice_ : str
        Name of the candidate with the largest weight.
    candidate_weights_ : dict of str to float
        Weights of the candidates, which sum to 1.
    reason_ : str
        What was done and why, in words.
    table_ : DataFrame
        A row a candidate, on unseen groups: "log_loss" of its calibrated scores, "auc"
        (fakes compared with the reals of their own fold, since each fold has a fit of
        its own), "behind" (its loss above the least), "standard_error" of that, its
        "weight", and whether it was "stopped" after two folds, which its figures are
        then of. They serve the weights; an estimate of performance needs other videos.
    stress_ : DataFrame
        What the mixture may lose if the sources of videos change: "auc" on unseen
        groups and "auc_of_simplest", that of the first candidate. The row "none" is of
        the videos as they are; in the row of a detector, videos that it gets right
        count a tenth.
    combiners_ : dict of str to Combiner
        The candidates in use, the heaviest first, fitted on all rows.
    combiner_ : Combiner
        The first of them.
    weights_ : ndarray of shape (n_detectors,)
        How much each detector moves the mixture: its share of the mean absolute
        `contributions` to each candidate on training rows, by the candidates' weights.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    van der Laan, Polley, Hubbard (2007), Super learner, Statistical Applications in
    Genetics and Molecular Biology 6.

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

    former_parameters = ("slack", "average")  # in files of earlier releases

    def __init__(
        self,
        candidates: Any = None,
        n_folds: int = 5,
        scale: str | None = "detect",
        n_jobs: int | None = None,
        verbose: bool = False,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.candidates = candidates
        self.n_folds = n_folds
        self.scale = scale
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
        self.fake_label = fake_label

    def fit(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        shift: ArrayLike | None = None,
    ) -> AutoCombiner:
        """Try the candidates and learn how to mix them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            Out-of-fold scores, NaN where one is missing.
        y : array-like of shape (n_videos,)
            Any two labels; see `fake_label`.
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that folds keep together; None makes each its own group.
        sample_weight : array-like of shape (n_videos,) or None, default=None
            Weight 2 means the same as the row given twice, 0 as the row left out.
        shift : array-like of shape (n_videos,) or None, default=None
            What will be new in use: the forgery method of a fake, the source of a
            real, a time. Folds then hold out whole values of it: fakes are scored by
            candidates that saw no fake of their method, reals by such as saw none of
            their source, and groups stay whole. A class with one value is folded by
            group.

        Returns
        -------
        self : AutoCombiner
        """
        if shift is not None and y is not None:
            self._shift = shift_codes(shift, len(y))
        return super().fit(X, y, groups=groups, sample_weight=sample_weight)

    @property
    def table_(self) -> pd.DataFrame:
        """What was tried, a DataFrame."""
        check_is_fitted(self)
        return pd.DataFrame(self.tried_).set_index("combiner")

    @property
    def stress_(self) -> pd.DataFrame:
        """What a change of sources may cost, a DataFrame."""
        check_is_fitted(self)
        names = list(getattr(self, "feature_names_in_", range(self.n_features_in_)))
        index = pd.Index(["none", *names], name="rare where right")
        return pd.DataFrame(self.stressed_, index=index)

    def _scale_name(self):
        return table_scale(self.scale, self._resolved())

    def _fit(self, rows):
        check_whole(self, "n_folds", 2)
        candidates = self._resolved()
        names = list(candidates)
        sample = sample_rows(rows, _MAX_TRIED)
        splits, held_out = self._splits(sample)
        if splits and len(names) > 1:
            mixture, table, stressed = try_candidates(
                candidates, sample, splits, self.n_jobs, self.verbose
            )
            weight = mixture["weight"]
            self.tried_ = {"combiner": names, **table}
            self.stressed_ = self._in_table_order(stressed)
            n_groups = min(units(sample, sample.is_fake == label) for label in (0, 1))
            self.reason_ = _reason(self.tried_, held_out, len(splits), n_groups)
            if sample.shift is None:
                self.reason_ += _may_lose(self.stress_, names[0])
        else:
            weight, mixture = np.eye(len(names))[0], None
            self._take_the_first(names, held_out)
        heaviest = np.argsort(-weight, kind="stable")
        in_use = heaviest[weight[heaviest] > 0]
        self.mixture_ = mixture and {
            key: mixture[key][in_use] for key in ("weight", "intercept", "slope")
        } | {"highest": mixture["highest"]}
        self.candidate_weights_ = dict(zip(names, weight.tolist(), strict=True))
        self.combiners_ = {
            names[place]: fit_copy(candidates[names[place]], rows) for place in in_use
        }
        self.choice_ = names[in_use[0]]
        self.combiner_ = self.combiners_[self.choice_]
        shares = self._shares(sample.scores[:: -(-len(sample) // _MAX_WEIGHED)])
        self.weights_ = self._to_table_order(shares)

    def _shares(self, scores):
        """Return how much of the mixture's movement each detector makes."""
        each = []
        for name, combiner in self.combiners_.items():
            moved = np.abs(combiner.contributions(scores)).mean(axis=0)
            each.append(self.candidate_weights_[name] * moved / max(moved.sum(), 1e-12))
        return np.sum(each, axis=0)

    def _fake_score(self, scores):
        fitted = self.combiners_.values()
        each = [combiner._score_inside(scores) for combiner in fitted]
        mixture = getattr(self, "mixture_", None)
        if mixture is None:  # one candidate, or a file of an earlier release
            return np.mean(each, axis=0)
        return mixed(mixture, np.column_stack(each))

    def _in_table_order(self, stressed):
        """Lay out in the table's order what is of all videos, then of detectors."""
        return {
            key: [of_all, *self._to_table_order(of_each, np.nan).tolist()]
            for key, (of_all, *of_each) in stressed.items()
        }

    def _who_trusts(self):
        if all(one._trusts_direction() for one in self._resolved().values()):
            return super()._who_trusts()
        return "all but the free candidates of AutoCombiner take"

    def _inner(self):
        return self.combiner_

    def _resolved(self):
        given = default_candidates() if self.candidates is None else self.candidates
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

    def _splits(self, rows):
        """Return the folds, and in words what they hold out."""
        if rows.shift is None:
            splits = inner_splits(rows, self.n_folds, self.random_state)
            return splits, "unseen groups" if rows.groups is not None else "unseen rows"
        return shift_splits(rows, self.n_folds, self.random_state)

    def _take_the_first(self, names, held_out):
        untold = [np.nan] * len(names)
        columns = ("log_loss", "auc", "behind", "standard_error")
        is_first = [name == names[0] for name in names]
        self.tried_ = {
            "combiner": names,
            **dict.fromkeys(columns, untold),
            "weight": [float(first) for first in is_first],
            "stopped": [False] * len(names),
        }
        n_rows = self.n_features_in_ + 1
        self.stressed_ = {key: [np.nan] * n_rows for key in ("auc", "auc_of_simplest")}
        self.reason_ = f"{names[0]}: " + (
            "the only candidate"
            if len(names) == 1
            else f"the simplest, as there is nothing to try on: no {held_out} of both "
            "classes can be held out with others left to learn from"
        )


def _may_lose(stress, simplest):
    """Say what a change of sources that nobody announced may cost."""
    fallen = stress.drop("none").dropna()
    if fallen.empty:
        return ""
    worst = fallen["auc"].idxmin()
    before, after = stress.loc["none"], fallen.loc[worst]
    if round(after["auc"], 3) >= round(before["auc"], 3):
        return ""
    return (
        f"; should {worst} come to fail (tried by making the videos that it gets right "
        f"ten times rarer), the AUC would fall from {before['auc']:.3f} to "
        f"{after['auc']:.3f} (that of {simplest} alone from "
        f"{before['auc_of_simplest']:.3f} to {after['auc_of_simplest']:.3f}); what "
        "unseen sources cost is told by a fit with shift="
    )


def _reason(table, held_out, n_folds, n_groups):
    """Say what was done and why."""
    table = pd.DataFrame(table).set_index("combiner")
    used = table[table["weight"] > 0].sort_values("weight", ascending=False)
    heaviest, best = used.index[0], table["log_loss"].idxmin()
    where = f"over {n_folds} folds of {held_out}"
    if len(used) == 1:
        text = f"{heaviest} alone"
    else:
        shares = [f"{weight:.0%} {name}" for name, weight in used["weight"].items()]
        text = f"a mix of log-odds, {', '.join(shares[:-1])} and {shares[-1]}"
    text += f": these weights have the least log loss {where}"
    text += ", but for a pull towards equal weights of those that cannot be told apart"
    text += f" and towards {table.index[0]}, the simplest"
    if heaviest == best:
        text += f"; the best single candidate is {best}"
        text += f" (log loss {table.loc[best, 'log_loss']:.4f})"
    else:
        text += (
            f"; the best single candidate is {best} (log loss "
            f"{table.loc[best, 'log_loss']:.4f}; {heaviest} "
            f"{table.loc[heaviest, 'log_loss']:.4f})"
        )
    if table["stopped"].any():
        text += "; far behind, and stopped early: "
        text += ", ".join(table.index[table.stopped])
    if n_groups < _FEW_GROUPS:
        text += (
            f"; with {n_groups:g} groups of a class little can be learned, so the "
            f"weights lean towards {table.index[0]}, the simplest"
        )
    return text
