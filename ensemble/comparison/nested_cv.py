"""Detectors' scores to learn from and to judge on, for every split of a comparison."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ensemble.combiners.parts.detection import fit_maps, to_p_fake, without_outside
from ensemble.comparison.inputs import ComparisonInput, ComparisonSettings
from ensemble.comparison.protocol_registry import Split
from ensemble.comparison.protocols import inner_folds
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.scores.looks import looks_of


class MemberScores(NamedTuple):
    """Members' scores for the splits of a comparison.

    Attributes
    ----------
    members : DataFrame of shape (n_videos, n_members)
        Mean of a video's scores over the splits that judge it; NaN where none does.
    learned, judged : list of ndarray
        For each split (n_train, n_members) and (n_test, n_members).
    n_fits : int
        Fits of each detector that is not prefit.
    """

    members: pd.DataFrame
    learned: list
    judged: list
    n_fits: int = 0

    @classmethod
    def of_table(cls, members: pd.DataFrame, splits: list[Split]) -> "MemberScores":
        """Take the rows of each split from a table of scores, as they are."""
        values = members.to_numpy(float)
        learned = [values[split.train] for split in splits]
        return cls(members, learned, [values[split.test] for split in splits])


def on_one_scale(
    learned: np.ndarray, judged: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Bring members' judged scores to 0 to 1, as ``scale="detect"`` of combiners does.

    What becomes of a column is learned from the training rows: with values outside 0 to
    1 there it is standardised or ranked, else it is P(fake), and a judged value outside
    counts as missing.

    Parameters
    ----------
    learned : ndarray of shape (n_train, n_members)
    judged : ndarray of shape (n_test, n_members)
    names : sequence of str
        Of the members.

    Returns
    -------
    judged : ndarray of shape (n_test, n_members)

    Examples
    --------
    >>> learned = np.array([[-2.0, 0.1], [2.0, 0.7]])  # of mean 0 and spread 2
    >>> judged = np.array([[0.0, 0.3], [2.0, 9.0]])
    >>> on_one_scale(learned, judged, ["logit", "p"]).round(3).tolist()
    [[0.5, 0.3], [0.731, nan]]
    """
    columns, weight = np.arange(len(names)), np.ones(len(learned))
    maps = fit_maps(learned, weight, looks_of(learned))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coverage says what is missing
        judged = without_outside(judged, columns, maps, names)
    return to_p_fake(maps, judged)


def nested_scores(
    data: ComparisonInput,
    splits: list[Split],
    settings: ComparisonSettings,
    failed: dict[str, str] | None = None,
) -> MemberScores:
    """Fit detectors as often as the splits need and no more.

    What is judged is scored by detectors fitted on the split's training rows. What is
    learned from is scored out of fold. With "exact" nesting that is within the training
    rows: no label that is judged had any part in it. Over k folds a detector without
    folds i and j serves both when i is judged and when j is: k (k - 1) / 2 fits more.
    With "stored" the other folds' judged scores are learned from: no fit more, but
    their detectors saw the labels that are judged. Splits that stand alone are exact in
    any case.

    Parameters
    ----------
    data : ComparisonInput
        Detectors and videos.
    splits : list of Split
    settings : ComparisonSettings
        Its folds are the inner ones of splits that stand alone.
    failed : dict of str to str or None, default=None
        With ``on_error="skip"``: detectors that fail go there, with the reason, and
        have no column.

    Examples
    --------
    >>> from base_models import CallableDetector
    >>> from ensemble.comparison.inputs import check_input
    >>> from ensemble.protocols import protocol_splits
    >>> videos = [np.full((4, 8, 8, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    >>> y, codes = np.arange(12) // 6, np.arange(12) // 2
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> splits, _ = protocol_splits("group-kfold", y, codes, pd.DataFrame(), 3, 1, 0)
    >>> data = check_input([bright], y, codes, videos=videos, nesting="exact")
    >>> nested_scores(data, splits, ComparisonSettings()).n_fits  # 3 folds and 3 pairs
    6
    """
    from base_models.inputs import as_videos
    from base_models.runtime.file_digest import held_contents
    from base_models.runtime.progress import progress_bar
    from base_models.video.paths import hashed_once
    from ensemble.errors import FailedDetectorsError
    from ensemble.out_of_fold.fitting import FitSettings, Keep
    from ensemble.out_of_fold.prefit import is_prefit

    failed = {} if failed is None else failed
    fit_settings = FitSettings(
        Keep.NONE, settings.n_jobs, settings.random_state, settings.store,
        settings.device, settings.verbose, on_error=settings.on_error,
    )  # fmt: skip
    videos = as_videos(data.videos)
    plan, parts = _plan(splits, data, settings)
    with held_contents(), hashed_once(videos):
        training = TrainingSet.of(
            videos, data.is_fake, data.groups, None, settings.n_jobs
        )
        fitted = [(name, one) for name, one in data.detectors if not is_prefit(one)]
        prefit = [(name, one) for name, one in data.detectors if is_prefit(one)]
        tables = {key: [] for key in plan}
        if prefit:
            scores = _fit_and_score(prefit, [], training, fit_settings, failed)
            for key in plan:
                tables[key].append(scores)
        if fitted:
            text = "splits" if settings.verbose else None
            walked = progress_bar(plan.items(), text, len(plan))
            for number, (key, (train, to_score)) in enumerate(walked):
                with warnings.catch_warnings():
                    if number:  # it was said for all videos at the first fit
                        warnings.filterwarnings("ignore", message=".* lack a view")
                    split = (train, np.flatnonzero(to_score))
                    left = [(n, one) for n, one in fitted if n not in failed]
                    tables[key].append(
                        _fit_and_score(left, [split], training, fit_settings, failed)
                    )
    data = data.without(failed)
    if not data.names:
        raise FailedDetectorsError(failed, "no detector is left to compare")
    tables = {
        key: pd.concat(some, axis=1)[data.names].to_numpy(float)
        for key, some in tables.items()
    }
    return _for_splits(splits, parts, tables, data, len(plan) if fitted else 0)


def _fit_and_score(named, splits, training, fit_settings, failed):
    """Fit on each split's first rows and score its second: (n_videos, n_detectors).

    What fails goes to `failed`, and has no column.
    """
    from ensemble.errors import FailedDetectorsError
    from ensemble.out_of_fold.fitting import fit_over_splits

    place = training.given
    rows = [(np.sort(place[train]), np.sort(place[test])) for train, test in splits]
    if not named:
        return pd.DataFrame(index=range(len(place)))
    try:
        outcome = fit_over_splits(named, training, rows, fit_settings)
    except FailedDetectorsError as error:  # all of these, though not of the others
        failed.update(error.detectors)
        return pd.DataFrame(index=range(len(place)))
    failed.update(outcome.failed)
    return pd.DataFrame(outcome.scores[place], columns=list(outcome.detectors))


def _for_splits(splits, parts, tables, data, n_fits):
    """Give each split what the fits that serve it have scored."""
    names, learned, judged = data.names, [], []
    total, times = np.zeros((2, len(data.is_fake), len(names)))
    for split, (outer, inner) in zip(splits, parts, strict=True):
        of_test = tables[outer][split.test]
        of_train = np.full((len(split.train), len(names)), np.nan)
        for key, rows in inner:
            of_train[rows] = tables[key][split.train[rows]]
        learned.append(of_train)
        judged.append(of_test)
        has_score = ~np.isnan(of_test)
        total[split.test] += np.where(has_score, of_test, 0)
        times[split.test] += has_score
    with np.errstate(invalid="ignore"):
        members = pd.DataFrame(total / times, columns=names)
    return MemberScores(members, learned, judged, n_fits)


def _plan(splits, data, settings):
    """List the different fits, and for each split which of them score what.

    Returns
    -------
    plan : dict of key to (train, to_score)
        Rows to fit on, and a mask of those to score; those that are judged first.
    parts : list of (key, list of (key, mask of the split's training rows))
    """
    plan, is_fake = {}, data.is_fake

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
        fold = inner_folds(
            split, is_fake, data.codes, settings.n_folds, settings.random_state
        )
        inner = []
        for number in np.unique(fold):
            in_fold = fold == number
            if data.nesting == "stored" and split.inner is not None:
                train = of_fold[split.name, split.repeat, number]
            else:
                train = split.train[~in_fold]
            lacking = {0, 1} - set(is_fake[train].tolist())
            if lacking:
                held_out = f" and {split.name}" if split.name else ""
                raise ValueError(
                    f"without two folds of groups{held_out} no "
                    f"{'fake' if 1 in lacking else 'real'} is left to fit detectors "
                    "on; use fewer folds, or add videos of other groups"
                )
            inner.append((fit(train, split.train[in_fold]), in_fold))
        parts.append((key, inner))
    return plan, parts
