"""Detectors' scores to learn from and to judge on, for every split of a comparison."""

import warnings

import numpy as np
import pandas as pd

from ensemble.comparison.protocols import inner_folds
from ensemble.out_of_fold.training_set import TrainingSet


def nested_scores(
    detectors,
    videos,
    is_fake,
    groups,
    codes,
    splits,
    nesting,
    n_folds=5,
    n_jobs=None,
    random_state=0,
    store=None,
    device=None,
    verbose=False,
):
    """Fit detectors as often as the splits need and no more.

    What is judged is scored by detectors fitted on the split's training rows. What is
    learned from is scored out of fold. With "exact" nesting that is within the training
    rows: no label that is judged had any part in it. Over k folds a detector without
    folds i and j serves both when i is judged and when j is: k (k - 1) / 2 fits more.
    With "stored" the other folds' judged scores are learned from: no fit more, but
    their detectors saw the labels that are judged.

    Parameters
    ----------
    detectors : list of detectors, of (name, detector), or dict
    videos : sequence of length n_videos
    is_fake : int ndarray of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups.
    splits : list of Split
    nesting : {"stored", "exact"}
        Splits that stand alone are exact in any case.
    n_folds : int, default=5
        Of the inner folds, for splits that stand alone.
    n_jobs, random_state, store, device, verbose
        As for `ensemble.out_of_fold_scores`.

    Returns
    -------
    members : DataFrame of shape (n_videos, n_detectors)
        Mean of a video's scores over the splits that judge it; NaN where none does.
    learned, judged : list of ndarray
        For each split (n_train, n_detectors) and (n_test, n_detectors).
    n_fits : int
        Fits of each detector that is not prefit.

    Examples
    --------
    >>> from base_models import CallableDetector
    >>> from ensemble.protocols import protocol_splits
    >>> videos = [np.full((4, 8, 8, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    >>> y, codes = np.arange(12) // 6, np.arange(12) // 2
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> splits, _ = protocol_splits("group-kfold", y, codes, pd.DataFrame(), 3, 1, 0)
    >>> *_, n_fits = nested_scores(
    ...     [bright], videos, y, codes, codes, splits, nesting="exact"
    ... )
    >>> n_fits  # 3 folds and 3 pairs of folds
    6
    """
    from base_models.inputs import as_videos
    from base_models.scoring.naming import name_detectors
    from ensemble.out_of_fold.fitting import FitSettings, Keep, fit_over_splits
    from ensemble.out_of_fold.prefit import is_prefit

    named = name_detectors(detectors)
    training = TrainingSet.of(as_videos(videos), is_fake, groups, None)
    place = training.given
    settings = FitSettings(Keep.NONE, n_jobs, random_state, store, device, verbose)
    fitted = [(name, one) for name, one in named if not is_prefit(one)]
    prefit = [(name, one) for name, one in named if is_prefit(one)]

    def scores(some, runs):
        outcome = fit_over_splits(
            some,
            training,
            [(np.sort(place[train]), np.sort(place[test])) for train, test in runs],
            settings,
        )
        return pd.DataFrame(outcome.scores[place], columns=[name for name, _ in some])

    plan, parts = _plan(splits, is_fake, codes, nesting, n_folds, random_state)
    found = {key: [] for key in plan}
    if prefit:
        once = scores(prefit, [])
        for key in plan:
            found[key].append(once)
    if fitted:
        for number, (key, (train, test)) in enumerate(plan.items()):
            with warnings.catch_warnings():
                if number:  # it was said for all videos at the first fit
                    warnings.filterwarnings("ignore", message=".* lack a view")
                found[key].append(scores(fitted, [(train, np.flatnonzero(test))]))
    names = [name for name, _ in named]
    tables = {key: pd.concat(found[key], axis=1)[names].to_numpy(float) for key in plan}
    learned, judged = [], []
    total, times = np.zeros((2, len(is_fake), len(names)))
    for split, (outer, inner) in zip(splits, parts, strict=True):
        judged.append(tables[outer][split.test])
        own = np.full((len(split.train), len(names)), np.nan)
        for key, here in inner:
            own[here] = tables[key][split.train[here]]
        learned.append(own)
        known = ~np.isnan(judged[-1])
        total[split.test] += np.where(known, judged[-1], 0)
        times[split.test] += known
    with np.errstate(invalid="ignore"):
        members = pd.DataFrame(total / times, columns=names)
    return members, learned, judged, len(plan) if fitted else 0


def _plan(splits, is_fake, codes, nesting, n_folds, random_state):
    """List the different fits, and for each split which of them score what.

    Returns
    -------
    plan : dict of key to (train, to_score)
        Rows to fit on, and a mask of those to score; those that are judged first.
    parts : list of (key, list of (key, mask of the split's training rows))
    """
    plan = {}

    def fit(train, score):
        key = train.tobytes()
        to_score = plan.setdefault(key, (train, np.zeros(len(is_fake), bool)))[1]
        to_score[score] = True
        return key

    outer = [fit(split.train, split.test) for split in splits]
    of_fold = {
        (split.name, split.repeat, split.fold): split.train
        for split in splits
        if split.inner is not None
    }
    parts = []
    for split, key in zip(splits, outer, strict=True):
        fold = inner_folds(split, is_fake, codes, n_folds, random_state)
        inner = []
        for number in np.unique(fold):
            here = fold == number
            if nesting == "stored" and split.inner is not None:
                train = of_fold[split.name, split.repeat, number]
            else:
                train = split.train[~here]
            lacking = {0, 1} - set(is_fake[train].tolist())
            if lacking:
                held = f" and {split.name}" if split.name else ""
                raise ValueError(
                    f"without two folds of groups{held} no "
                    f"{'fake' if 1 in lacking else 'real'} is left to fit detectors "
                    "on; use fewer folds, or add videos of other groups"
                )
            inner.append((fit(train, split.train[here]), here))
        parts.append((key, inner))
    return plan, parts
