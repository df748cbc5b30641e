"""Fits strategies on one side of each split and scores the other."""

import warnings
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone


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

    def common(self):
        """Keep the videos that every member and strategy has scored.

        Returns
        -------
        Panel

        Examples
        --------
        >>> scores = pd.DataFrame({"a": [0.1, 0.9], "b": [0.2, np.nan]})
        >>> rows = np.arange(2)
        >>> Panel("", 0, rows, np.array([0, 1]), scores, rows).common().rows.tolist()
        [0]
        """
        here = self.scores.notna().all(axis=1).to_numpy()
        return Panel(
            self.name, self.repeat, self.rows[here], self.y[here],
            self.scores[here], self.fold[here],
        )  # fmt: skip


def judge(
    splits,
    learned,
    judged,
    names,
    is_fake,
    codes,
    chosen,
    n_jobs=1,
    store=None,
    folds=None,
):
    """Return the panels: scores of everyone on what nobody learned from.

    Parameters
    ----------
    splits : list of Split
    learned, judged : list of ndarray
        Members' scores of each split's training and test rows.
    names : list of str
        The members.
    is_fake, codes : int ndarray of shape (n_videos,)
        1 for fake; numbers of the groups.
    chosen : dict of str to Combiner
        Unfitted.
    n_jobs : int, default=1
        Fits side by side.
    store : Store or None, default=None
        Where finished fits' scores are kept, to go on from.
    folds : list of (int ndarray or None) or None, default=None
        For each split the fold of each training row, where its members' scores came
        about; strategies learn of it what they learn beside any out-of-fold table.

    Returns
    -------
    list of Panel
    """
    tasks = [  # the slowest, which come last, are begun first
        (number, name) for name in reversed(chosen) for number in range(len(splits))
    ]
    run = joblib.Parallel(n_jobs=n_jobs)
    found = run(
        joblib.delayed(_fitted_scores)(
            name,
            chosen[name],
            learned[number],
            is_fake[splits[number].train],
            codes[splits[number].train],
            judged[number],
            names,
            store,
            None if folds is None else folds[number],
        )
        for number, name in tasks
    )
    by_split = [
        {name: judged[number][:, place] for place, name in enumerate(names)}
        for number in range(len(splits))
    ]
    for (number, name), score in zip(tasks, found, strict=True):
        by_split[number][name] = score
    panels = {}
    for split, scores in zip(splits, by_split, strict=True):
        part = pd.DataFrame(scores, index=split.test)[[*names, *chosen]]
        panels.setdefault((split.name, split.repeat), []).append((split, part))
    return [_panel(*key, parts, is_fake) for key, parts in panels.items()]


def _panel(name, repeat, parts, is_fake):
    scores = pd.concat([part for _, part in parts]).sort_index()
    fold = pd.concat([pd.Series(s.fold, index=s.test) for s, _ in parts]).sort_index()
    rows = scores.index.to_numpy()
    return Panel(name, repeat, rows, is_fake[rows], scores, fold.to_numpy())


def _fitted_scores(name, combiner, learned, y, codes, judged, names, store, fold=None):
    """Fit one strategy and score what is judged, unless that was done before."""
    data = (learned, y, codes, judged, names, *([] if fold is None else [fold]))
    key = None if store is None else _key(combiner, *data)
    known = None if key is None else store.get("judged", key)
    if known is not None:
        return known[0]["score"]
    learned = pd.DataFrame(learned, columns=names)
    if fold is not None:
        learned.attrs["fold"] = dict(enumerate(fold.tolist()))
    judged = pd.DataFrame(judged, columns=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 20 strategies and their inner folds
        try:
            fitted = clone(combiner).fit(learned, y, groups=codes)
            score = fitted.fake_score(judged)
        except Exception as error:
            raise RuntimeError(
                f"strategy {name!r} failed on {len(y)} training videos, {int(y.sum())} "
                f"of them fake: {error}; leave it out of strategies=, or mend it"
            ) from error
    if key is not None:
        store.put("judged", key, {"score": score})
    return score


def _key(combiner, *data):
    """Name a fit by all that decides it; None for a combiner that cannot be named."""
    from base_models.store.store import fingerprint, store_key
    from ensemble._version import __version__

    try:
        return store_key(of=fingerprint(combiner), version=__version__, data=list(data))
    except TypeError:
        return None
