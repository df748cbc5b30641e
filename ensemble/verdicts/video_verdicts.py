"""Verdicts: what an ensemble says of each video, and why it says no more."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import Videos
from ensemble.choices import (
    FAKE,
    NO_VERDICT,
    PARTIAL,
    REAL,
    SCORED,
    UNSCORABLE,
    UNSURE,
)
from ensemble.out_of_fold.reals_only import check_settings
from ensemble.verdicts.asked import members_asked, not_asked
from ensemble.verdicts.doubts import doubts
from ensemble.verdicts.member_scores import (
    combined_scores,
    disagreements,
    fitted_pooling,
    named_members,
)
from ensemble.verdicts.suspicion import NO_TRACES, score_column

IN_TRAINING = (
    "the model learned from this video: a score that knows the answer is no ground for "
    "a verdict"
)


def verdict_table(
    model: Any,
    table: pd.DataFrame,
    videos: Videos | None = None,
    unsure: bool = True,
) -> pd.DataFrame:
    """Lay out what an ensemble says of videos: see `DeepfakeEnsemble.judge_scores`.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.
    videos : sequence of length n_videos or None, default=None
        The videos, to compare them with those of training.
    unsure : bool, default=True
        Whether a video in doubt is UNSURE; False leaves the threshold's verdict.

    Returns
    -------
    DataFrame of shape (n_videos, 5 + n_detectors)
        With a column more, ``calibration`` ("unknown"), of an ensemble that no labelled
        video was shown to, and ``members_asked`` where ``cascade`` is set.
    """
    thresholds = model.thresholds_
    combined = combined_scores(model, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says it all
        score = model.combine(table)
    verdicts = thresholds.verdicts(score)
    looked = table.attrs.get("profiles", {})  # by a cascade already
    found = doubts(model, table, combined, _profiles(model, videos, looked))
    known = _known_videos(model, videos, table)
    found = [
        "" if np.isnan(p) else "; ".join(filter(None, [IN_TRAINING * is_known, why]))
        for p, is_known, why in zip(score, known, found, strict=True)
    ]
    if thresholds.never_real:
        found = [
            why or NO_TRACES * (verdict == UNSURE)
            for why, verdict in zip(found, verdicts, strict=True)
        ]
    empty = {FAKE: model.card_.empty_fake, REAL: model.card_.empty_real}
    if model.card_.doubt:  # which says enough
        empty = {}
    found = [
        "; ".join(filter(None, [why, empty.get(verdict)]))
        for why, verdict in zip(found, verdicts, strict=True)
    ]
    if unsure:
        in_doubt = np.array([reasons != "" for reasons in found], bool)
        verdicts[in_doubt & (verdicts != NO_VERDICT)] = UNSURE
    beside = {
        score_column(model): score,
        "verdict": verdicts,
        "status": statuses(table, combined),
        "reason": list(reasons_of(model, table, combined).values()),
        "doubts": found,
    }
    if model.fit_record_.unlabelled:
        beside["calibration"] = "unknown"
    if model.cascade is not None:
        beside["members_asked"] = members_asked(table)
    plain = pd.DataFrame(table.to_numpy(), table.index, table.columns)
    return pd.concat([pd.DataFrame(beside, table.index), plain], axis=1)


def reasons_of(model: Any, table: pd.DataFrame, combined: np.ndarray) -> dict[str, str]:
    """Say of each video why a score is missing, or what to know about one.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
    combined : ndarray of shape (n_videos,)
        The ensemble's P(fake), NaN where it has none.

    Returns
    -------
    dict of str to str
        By video.
    """
    scores = model.oof_scores_
    trained = scores.columns[scores.notna().any() | model.fit_record_.unlabelled]
    reasons = missing_reasons(table, combined, list(trained))
    if fitted_pooling(model) == "worst":  # else it is a doubt, see `doubts`
        for row, disagreement in disagreements(model, table).items():
            reasons[row] = "; ".join(filter(None, [disagreement, reasons[row]]))
    return reasons


def _known_videos(model, videos, table):
    """Say of each video whether the model learned from it."""
    if videos is None:
        return [False] * len(table)
    return model.fit_record_.training.have_contents_of(videos)


def unscorable_reasons(model: Any, table: Any, combined: Any) -> dict[str, str]:
    """Return row id -> reason of the videos that end without a score.

    Parameters
    ----------
    model, table, combined
        As for `reasons_of`.

    Returns
    -------
    dict of str to str
    """
    reasons = reasons_of(model, table, combined)
    return {row: reasons[row] for row in table.index[np.isnan(combined)]}


def filled_scores(model: Any, table: pd.DataFrame) -> np.ndarray:
    """Return P(fake) from the detectors' scores; warn of what ends without a score.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)

    Returns
    -------
    ndarray of shape (n_videos,)
        NaN, or the share of fakes, as the ensemble's ``unscorable`` says.
    """
    score = combined_scores(model, table)
    missing = np.isnan(score)
    if missing.any():
        why = listed(unscorable_reasons(model, table, score))
        got = "NaN"
        if model.unscorable == "prior":
            if model.fit_record_.reals_alone:
                check_settings(model.calibration, model.prior, model.unscorable)
            if model.fit_record_.unlabelled:
                raise ValueError(
                    "unscorable='prior' is the share of fakes in training, and there "
                    "were no training videos; take unscorable='nan'"
                )
            share = model.prior_ if model.prior is None else model.prior
            where = "in training" if model.prior is None else "that was stated"
            score[missing] = share
            got = f"the share of fakes {where}, {share:.3f}"
        warnings.warn(
            f"{missing.sum()} of {len(table)} videos get {got}: {why}",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )
    return score


def _profiles(model, videos, known):
    """Say what each video is like, and whether its file is whole; some are known."""
    from base_models.video.paths import hashed_once
    from ensemble.verdicts.video_profile import profile_videos

    if videos is None:
        return None
    members = [member for _, member in named_members(model)]
    left = [row for row in range(len(videos)) if row not in known]
    others = [videos[row] for row in left]
    with hashed_once(others):  # one may stand there once for each of its faces
        found = profile_videos(others, members, model.store)
    known = {**known, **dict(zip(left, found, strict=True))}
    return [known[row] for row in range(len(videos))]


def statuses(table: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    """Say of each video whether it has a score, and whether all members gave one.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        The members' P(fake), NaN where one is missing.
    score : ndarray of shape (n_videos,)
        The ensemble's P(fake) at the end of combination and calibration.

    Returns
    -------
    ndarray of str of shape (n_videos,)
        ``unscorable`` where `score` is NaN, whatever single members say; ``partial``
        where a member that was asked gave no score; else ``scored``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> table = pd.DataFrame({"a": [0.2, np.nan], "b": [np.nan, 0.9]})
    >>> statuses(table, np.array([0.2, np.nan])).tolist()
    ['partial', 'unscorable']
    """
    failed = table.isna().to_numpy() & ~not_asked(table)
    return np.select(
        [np.isnan(score), failed.any(axis=1)],
        [UNSCORABLE, PARTIAL],
        SCORED,
    )


def missing_reasons(
    table: pd.DataFrame, score: np.ndarray, trained: Sequence[str] | np.ndarray
) -> dict[str, str]:
    """Say of each video why scores are missing, the ensemble's own among them.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        With the reasons that `DeepfakeEnsemble.detector_scores` gives; a plain table
        has none.
    score : ndarray of shape (n_videos,)
        The ensemble's P(fake), NaN where it ends without one.
    trained : sequence of str
        Members that had scores in training, which the combiner can use.

    Returns
    -------
    dict of str to str
        By video; empty where nothing is missing.
    """
    reasons = table.attrs.get("reason", {})  # a plain table has none
    found = {}
    for row, p_fake, has_score in zip(
        table.index, score, table.notna().to_numpy(), strict=True
    ):
        why = {reasons[name][row] for name in reasons if row in reasons[name]}
        if np.isnan(p_fake) and has_score.any():
            why.add(_why_no_combined_score(table.columns[has_score], trained))
        found[row] = "; ".join(sorted(why))
    return found


def _why_no_combined_score(present, trained):
    """Explain a video that members scored and the ensemble did not."""
    usable = [name for name in present if name in trained]
    if usable:
        return f"no score came of combining {', '.join(usable)}"
    has, it = ("has", "it") if len(present) == 1 else ("have", "they")
    return f"only {', '.join(present)} {has} a score, and {it} had none in training"


def listed(reasons: Any) -> Any:
    """Return videos with their reasons as one phrase, the first five in full."""
    shown = [f"{video} ({reason})" for video, reason in reasons.items()]
    return "; ".join(shown[:5]) + (f"; and {len(shown) - 5} more" * (len(shown) > 5))
