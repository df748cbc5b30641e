"""What combiners of combiners share: copies, out-of-fold scores, one common scale."""

import numpy as np
from sklearn.base import clone

from ensemble.combiners.base import Combiner


class Nested(Combiner):
    """A combiner whose inner combiners see the scores as they are in the table.

    A subclass returns from `_scale_name` what `common_scale` says of the combiners it
    will fit, and from `_inner` one of those it has fitted.
    """

    def _neutral(self):
        return self._inner()._neutral_in_table()

    def _neutral_in_table(self):
        return self._to_table_order(self._neutral())


def as_combiner(given, random_state=None):
    """Turn a name, or any classifier, into a combiner.

    Parameters
    ----------
    given : str, Combiner or classifier
        A classifier that is no `Combiner` becomes the meta-model of a `Stacking` on
        plain scores: it gets groups and weights where it takes them, missing scores
        are filled with the mean of the others.
    random_state : int, RandomState or None, default=None
        Seed for a combiner made here.

    Returns
    -------
    combiner : Combiner

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> as_combiner(LogisticRegression(), random_state=0)
    Stacking(meta_model=LogisticRegression(), scale=None)
    """
    from ensemble.combiners.registry import resolve_combiner
    from ensemble.combiners.stacking import Stacking

    combiner = resolve_combiner(given, random_state)
    if isinstance(combiner, Combiner):
        return combiner
    return Stacking(combiner, scale=None, random_state=random_state)


def common_scale(combiners):
    """Return the scale of a table that several combiners can read.

    Parameters
    ----------
    combiners : iterable of Combiner

    Returns
    -------
    scale : "probability" or None
        The first where one of them takes scores for P(fake).
    """
    scales = {combiner._scale_name() for combiner in combiners}
    return "probability" if scales & {"probability", "log_odds"} else None


def fit_copy(combiner, rows):
    """Fit a copy of a combiner on rows.

    Parameters
    ----------
    combiner : Combiner
    rows : Rows

    Returns
    -------
    fitted : Combiner
    """
    copy = clone(combiner).set_params(fake_label=None)
    # no advice inside: it was given outside
    copy._inside = {"folds": rows.folds, "offsets": rows.offsets}
    return copy.fit(
        rows.scores, rows.is_fake, groups=rows.groups, sample_weight=rows.weight
    )


def out_of_fold(combiner, rows, splits):
    """Score rows by copies of a combiner that saw none of their group.

    Parameters
    ----------
    combiner : Combiner
    rows : Rows
    splits : list of (train, test)

    Returns
    -------
    score : ndarray of shape (n_rows,)
        NaN for a row that is in no test part, or that has no score a copy can use.
    """
    score = np.full(len(rows), np.nan)
    for train, test in splits:
        score[test] = fit_copy(combiner, rows[train]).fake_score(rows.scores[test])
    return score
