"""The contract of combiners, tried on a combiner of anybody's."""

from __future__ import annotations

import inspect
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from base_models.testing.contract import Trial
from ensemble.combiners.registry import resolve_combiner
from ensemble.combiners.stacking import as_combiner
from ensemble.persistence.codec import RULE_FORMAT, Reader, Writer

_N = 60  # videos of the made table


def check_combiner(combiner: Any) -> None:
    """Check that a combiner keeps the contract that ensembles rely on.

    It is cloned, fitted about twelve times on a small table of made scores and asked
    for its own. A classifier that is no `Combiner` is tried as ensembles use it, as the
    meta-model of a `Stacking`. What scikit-learn asks of every classifier is for its
    ``check_estimator`` to say.

    - **parameters**: ``get_params``, ``set_params`` and scikit-learn's ``clone``;
      ``fit`` returns self, and changes no parameter and no score.
    - **scores**: ``predict_proba`` has shape (n_videos, 2), within 0 to 1; columns as
      in ``classes_``, for labels 0/1 and for "REAL"/"FAKE". Where all detectors say
      fake its score is higher than where all say real.
    - **missing scores**: a video with one score at least has a score, one without has
      NaN and never 0.5.
    - **same scores**: from the same seed, for any order of rows and of detectors, for
      an array and a DataFrame, under other names of groups that sort
      alike; weight 2 is the row twice,
      weight 0 the row left out.
    - **one detector** is enough.
    - **refusals**: before a fit; for one class; for columns of another number, or of
      another order than in ``fit``, which it may bring in order instead.
    - **contributions**: one number per video and detector, 0 where the score is
      missing.
    - **copies**: pickled, and as a part of a saved model (.dfe).

    Scores are the same where they differ by at most 1e-6.

    Parameters
    ----------
    combiner : str or combiner
        Unfitted, or a name of `ensemble.combiners.resolve_combiner`.

    Raises
    ------
    ContractError
        At the first thing that does not hold: what was looked at, what was expected,
        what came, what to do.

    Examples
    --------
    >>> from ensemble.combiners import Voting
    >>> from ensemble.testing import check_combiner
    >>> check_combiner(Voting("median"))
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the made table looks like
        trial = _CombinerTrial(resolve_combiner(combiner))
        for check in _CHECKS:
            check(trial)


class _CombinerTrial(Trial):
    """A combiner, the table it is tried on, and its scores after one fit."""

    def __init__(self, combiner):
        super().__init__(combiner)
        self.table, self.y, self.groups = made_scores()
        self.fitted = self.score = None

    def seeded(self):
        return as_combiner(super().seeded(), random_state=0)

    def fit(self, rows=None, y=None, groups=None, table=None, **given):
        """Fit a clone on the table, or on some rows of it, or with other labels."""
        table = self.table if table is None else table
        y = self.y if y is None else y
        groups = self.groups if groups is None else np.asarray(groups)
        rows = np.arange(len(y)) if rows is None else rows
        taken = table.iloc[rows] if isinstance(table, pd.DataFrame) else table[rows]
        return self.seeded().fit(taken, y[rows], groups=groups[rows], **given)

    def score_of(self, fitted, table=None):
        """Return P(fake), by ``classes_``."""
        answer = np.asarray(
            fitted.predict_proba(self.table if table is None else table)
        )
        fake = [c in (1, "FAKE") for c in fitted.classes_].index(True)
        return answer[:, fake]


def made_scores() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return out-of-fold scores of three made detectors, some of them missing.

    Returns
    -------
    scores : DataFrame of shape (60, 3)
        P(fake); the second detector has no score for every seventh video, and none has
        one for the last.
    y : ndarray of shape (60,)
        0 real, 1 fake.
    groups : ndarray of shape (60,)
        Of a real and a fake each.

    Examples
    --------
    >>> from ensemble.testing.combiner_checks import made_scores
    >>> scores, y, groups = made_scores()
    >>> scores.isna().sum().tolist()
    [1, 9, 1]
    """
    draw = np.random.default_rng(0)
    y, groups = np.arange(_N) % 2, np.arange(_N) // 2
    skill = np.array([1.2, 1.6, 0.9])
    shared = draw.normal(0, 0.4, (_N, 1))
    logits = skill * (2 * y[:, None] - 1) + shared + draw.normal(0, 1, (_N, 3))
    scores = np.round(1 / (1 + np.exp(-logits)), 6)
    scores[3::7, 1] = scores[-1] = np.nan
    return pd.DataFrame(scores, columns=["frames", "motion", "sound"]), y, groups


def _check_parameters(trial):
    trial.check_parameters()


def _check_not_fitted(trial):
    trial.refuses(
        "before a fit",
        "predict_proba of a combiner that was not fitted",
        lambda: trial.seeded().predict_proba(trial.table),
        (NotFittedError,),
        "what is learned in _fit goes to attributes that end in _",
    )


def _check_fit_and_scores(trial):
    made, table, y = trial.seeded(), trial.table.copy(), trial.y.copy()
    with trial.doing("fit", "fit(scores, y, groups=groups) on 60 videos"):
        returned = made.fit(table, y, groups=trial.groups)
    trial.check_fit_keeps_parameters(made, returned)
    if not table.equals(trial.table) or (y != trial.y).any():
        trial.fail("fit", "scores and y as they were given", "other ones after fit")
    outside = _spied(made)
    with trial.doing("predict_proba", "an answer for the videos of fit"):
        answer = made.predict_proba(table)
    trial.check_answer(made, answer, len(y))
    if outside:
        trial.fail(
            "scores",
            "_fake_score within 0 to 1",
            f"{outside[0]:.6g}",
            "scipy.special.expit brings log-odds there",
        )
    trial.fitted, trial.score = made, trial.score_of(made)
    vars(made).pop("_fake_score", None)
    with trial.doing("fake_score", "fake_score(scores), P(fake) of each video"):
        score = made.fake_score(table)
    trial.same("fake_score", "the column of P(fake)", score, trial.score)


def _spied(made):
    """Collect what `_fake_score` returns outside 0 to 1, before it is clipped."""
    outside, fake_score = [], made._fake_score

    def spy(scores):
        found = np.asarray(fake_score(scores), float)
        outside.extend(found[(found < -1e-6) | (found > 1 + 1e-6)].tolist())
        return found

    made._fake_score = spy
    return outside


def _check_missing(trial):
    check, scored = "missing scores", trial.table.notna().any(axis=1).to_numpy()
    for rows, expected in ((scored, False), (~scored, True)):
        wrong = np.flatnonzero(rows & (np.isnan(trial.score) != expected))
        if len(wrong):
            what = "no score at all" if expected else "one score at least"
            trial.fail(
                check,
                f"{'NaN' if expected else 'a score'} for a video with {what}",
                f"{trial.score[wrong[0]]:.6g}",
                "numpy.nanmean and its like leave out what is missing",
            )
    alone = pd.DataFrame(np.nan, [0, 1, 2], trial.table.columns)
    np.fill_diagonal(block := alone.to_numpy(copy=True), 0.7)
    alone[:] = block
    with trial.doing(check, "a score of a video that one detector alone has scored"):
        score = trial.score_of(trial.fitted, alone)
    if np.isnan(score).any():
        name = trial.table.columns[np.isnan(score).argmax()]
        trial.fail(check, f"a score where {name!r} alone has one", "NaN")


def _check_labels(trial):
    with trial.doing("labels", 'fit with labels "REAL" and "FAKE"'):
        made = trial.fit(y=np.array(["REAL", "FAKE"])[trial.y])
    if list(made.classes_) != ["FAKE", "REAL"]:
        trial.fail("labels", "classes_ of ['FAKE', 'REAL'], sorted", made.classes_)
    trial.same(
        "labels",
        'the same P(fake) with labels "REAL"/"FAKE" as with 0/1',
        trial.score_of(made),
        trial.score,
        "columns follow classes_, so P(fake) is the first one here",
    )


def _check_orientation(trial):
    ends = pd.DataFrame([[0.04] * 3, [0.96] * 3], columns=trial.table.columns)
    low, high = trial.score_of(trial.fitted, ends)
    advice = "the score must be P(fake); 1 - score turns it round"
    if not high > low:
        trial.fail(
            "orientation",
            "a higher score where all detectors say 0.96 than where all say 0.04",
            f"{high:.6g} and {low:.6g}",
            advice,
        )
    scored = ~np.isnan(trial.score)
    auc = roc_auc_score(trial.y[scored], trial.score[scored])
    if auc < 0.5:
        trial.fail(
            "orientation", "fakes to score higher", f"an AUC of {auc:.2f}", advice
        )


def _check_same_seed(trial):
    again = trial.score_of(trial.fit())
    advice = "draw everything from random_state, and let nothing outlive a fit"
    what = "the same scores after another fit"
    trial.same("same seed", what, again, trial.score, advice)


def _check_rows(trial):
    check, order = "order of the videos", np.random.default_rng(1).permutation(_N)
    what = "the same scores in another order"
    score = trial.score_of(trial.fitted, trial.table.iloc[order])
    advice = "no video may count for another's score"
    trial.same(check, what, score, trial.score[order], advice)
    what, first = "the same score of a video alone", trial.table.iloc[:1]
    trial.same(
        check, what, trial.score_of(trial.fitted, first), trial.score[:1], advice
    )
    what = "the same scores after a fit on the videos in another order"
    again = trial.score_of(trial.fit(order))
    trial.same(check, what, again, trial.score, "rows come to _fit in an order of ours")


def _check_columns(trial):
    check, names = "order of the detectors", list(trial.table)[::-1]
    turned = trial.table[names]
    advice = "detector_order_ says which column is which; see _to_table_order"
    what = "the same scores with the columns in another order"
    score = trial.score_of(trial.fit(table=turned), turned)
    trial.same(check, what, score, trial.score, advice)
    try:
        score = trial.score_of(trial.fitted, turned)
    except ValueError:
        score = trial.score
    what = "ValueError, or the same scores, for columns in another order than in fit"
    trial.same(check, what, score, trial.score, "columns are known by their names")
    array = trial.table.to_numpy()
    score = trial.score_of(trial.fit(table=array), array)
    trial.same("array", "the same scores from an array", score, trial.score)
    trial.refuses(
        "columns",
        "two columns after a fit on three",
        lambda: trial.fitted.predict_proba(array[:, :2]),
        (ValueError,),
    )


def _check_one_detector(trial):
    table = trial.table[["frames"]]
    with trial.doing("one detector", "fit and scores with a single column"):
        score = trial.score_of(trial.fit(table=table), table)
    there = table["frames"].notna().to_numpy()
    if np.isnan(score[there]).any():
        trial.fail("one detector", "a score where the detector has one", "NaN")


def _check_groups_and_weights(trial):
    trial.same(
        "groups",
        "the same scores with groups of other names, in the same order",
        trial.score_of(trial.fit(groups=[f"person {g:02}" for g in trial.groups])),
        trial.score,
        "who is together counts, and not what a group is called or its number",
    )
    if "sample_weight" not in inspect.signature(trial.fitted.fit).parameters:
        trial.fail("weights", "fit to take sample_weight", "a fit that does not")
    rows, weight = np.arange(_N), np.ones(_N)
    weight[:10], weight[10:14] = 2, 0
    twice = np.concatenate([rows[:10], rows[:10], rows[14:]])
    trial.same(
        "weights",
        "weight 2 to mean the same as the row twice, and 0 as the row left out",
        trial.score_of(trial.fit(sample_weight=weight)),
        trial.score_of(trial.fit(twice)),
        "give rows.weight to what learns",
    )


def _check_refusals(trial):
    for label, name in enumerate(("reals", "fakes")):
        trial.refuses(
            "one class",
            f"{name} alone",
            lambda label=label: trial.fit(np.flatnonzero(trial.y == label)),
            (ValueError,),
            "both classes must be there",
        )


def _check_contributions(trial):
    check = "contributions"
    with trial.doing(check, "contributions(scores) of shape (n_videos, n_detectors)"):
        moved = trial.fitted.contributions(trial.table)
    moved = np.asarray(moved)
    if moved.shape != trial.table.shape:
        trial.fail(check, f"shape {trial.table.shape}", f"shape {moved.shape}")
    if not np.isfinite(moved).all():
        trial.fail(check, "finite numbers", moved[~np.isfinite(moved)][0])
    if (missing := moved[trial.table.isna().to_numpy()]).any():
        trial.fail(check, "0 where a score is missing", f"{missing.max():.6g}")


def _check_copies(trial):
    what = "a fitted combiner that can be pickled"
    with trial.doing("copies", what, "keep no lambda and no open file in it"):
        copied = pickle.loads(pickle.dumps(trial.fitted))
    what = "the same scores of a pickled copy"
    trial.same("copies", what, trial.score_of(copied), trial.score, tolerance=0)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        trial.doing("saved models", "a combiner that a saved model can hold"),
    ):
        path, writer = Path(folder) / "rule.dfe", Writer()
        rule = writer.encode(trial.fitted)
        writer.write({"format": RULE_FORMAT, "rule": rule}, path)
        own = {type(trial.fitted).__qualname__: clone(trial.fitted)}
        loaded = Reader(path, combiners=own).decode(rule)
        score = trial.score_of(loaded)
    what = "the same scores after it was saved and loaded"
    trial.same("saved models", what, score, trial.score, tolerance=0)


_CHECKS = (
    _check_parameters,
    _check_not_fitted,
    _check_fit_and_scores,
    _check_same_seed,
    _check_missing,
    _check_labels,
    _check_orientation,
    _check_rows,
    _check_columns,
    _check_one_detector,
    _check_groups_and_weights,
    _check_refusals,
    _check_contributions,
    _check_copies,
)
