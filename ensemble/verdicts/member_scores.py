"""Scores of an ensemble's members on new videos, and their combination."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.inputs import Videos
from base_models.scoring.in_steps import WHOLE
from ensemble.out_of_fold.face_pooling import pool_faces
from ensemble.out_of_fold.training_set import row_ids
from ensemble.scores.provenance import Provenance
from ensemble.scores.table import score_table
from ensemble.verdicts.asked import quarters_asked
from ensemble.verdicts.threshold_and_prior import to_probability

if TYPE_CHECKING:
    import pandas as pd

    from base_models.video.one_face import OneFace


def fitted_pooling(model: Any) -> str:
    """Return how an ensemble pools over faces: as its combiner was fitted.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If another way was set after the fit.
    """
    fitted = Provenance.of(model.oof_scores_).faces_pooling
    if model.faces_pooling != fitted:
        raise ValueError(
            f"faces_pooling={model.faces_pooling!r} was set after a fit with "
            f"{fitted!r}: combiner and thresholds were set on scores pooled so; fit "
            "again, which finds fitted detectors in the store, or set it back"
        )
    return fitted


def named_members(model: Any) -> list[Any]:
    """Name every fitted detector, one by one where several are averaged.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    list of (str, detector)
    """
    return [
        (f"{name} {i}" if isinstance(members, list) else name, member)
        for name, members in model.detectors_.items()
        for i, member in enumerate(members if isinstance(members, list) else [members])
    ]


def combined_scores(model: Any, table: pd.DataFrame) -> np.ndarray:
    """Return P(fake) from the detectors' scores, NaN for what ends without a score.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)

    Returns
    -------
    ndarray of shape (n_videos,)

    Raises
    ------
    ValueError
        For a score outside 0..1.
    """
    score = np.full(len(table), np.nan)
    scored = table.notna().any(axis=1).to_numpy()
    outside = table.lt(0) | table.gt(1)
    if outside.to_numpy().any():
        name = outside.columns[outside.any()][0]
        raise ValueError(
            f"detectors' scores must be P(fake), 0 to 1, or NaN; {name} has "
            f"{table[name][outside[name]].iloc[0]}"
        )
    if scored.any():
        combined = model.combiner_.fake_score(table[scored])
        score[scored] = to_probability(model, combined)
    record, quarters = model.fit_record_, quarters_asked(table)
    cascade = record.step_cascade or record.cascade
    if cascade is not None and (quarters != WHOLE).any():
        score = cascade.scores_of_stopped(model, table, quarters, score)
    return score


def face_scores(
    model: Any,
    members: list[Any],
    video: str | Path | np.ndarray,
    scores: np.ndarray,
    reasons: np.ndarray,
) -> Any:
    """Score the faces of a video by themselves, where there are several.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    members : list of (name, detector)
    video : str, Path or ndarray
    scores, reasons : ndarray of shape (n_members,)
        What the members say of the video.

    Returns
    -------
    (scores, reasons) or None
        Both of shape (n_faces, n_members); None where there are no several faces.
    """
    from base_models.scoring.several_faces import score_if_several

    # Copies: the members may be in the midst of other videos, whose views they note.
    members = [(name, copy.copy(member)) for name, member in members]
    return score_if_several(members, video, model.store, scores, reasons)


def members_table(
    model: Any,
    ids: list[str],
    scores: np.ndarray,
    reasons: np.ndarray,
    faces: Sequence[Any] | np.ndarray,
) -> pd.DataFrame:
    """Lay what the members say as a score table; average those of one name.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    ids : list of str
        Of the videos.
    scores, reasons : ndarray of shape (n_videos, n_members)
    faces : sequence of ((scores, reasons) or None)
        One a video, from `face_scores`: where there are several, the row of the video
        is pooled over them as the model was fitted.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
        ``attrs["faces"]`` has, by video with several faces, the detectors' ``scores``
        of each and the place of the one that is ``decisive``: None where the detectors
        choose themselves, or all faces count.
    """
    how = fitted_pooling(model)
    lengths = [
        len(found) if isinstance(found, list) else 1
        for found in model.detectors_.values()
    ]
    named = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    means, why = _averaged(scores, reasons, named)
    several = {}
    for row, found in enumerate(faces):
        if found is None:
            continue
        of_faces, why_of_faces = _averaged(*found, named)
        decisive = None
        if how != "largest":
            means[row], place = pool_faces(of_faces, how)
            why[row] = why_of_faces[place]
            decisive = place if how == "worst" else None
        several[ids[row]] = {"scores": of_faces.tolist(), "decisive": decisive}
    table = score_table(means, ids, list(model.detectors_), reasons=why)
    table.attrs["faces"] = several
    return table


def _averaged(scores, reasons, named):
    """Mean of the scores of each name's members; what is said of the first that has."""
    rows, means, why = np.arange(len(scores)), [], []
    for at in named:
        own = scores[:, at]
        known = ~np.isnan(own)
        with np.errstate(invalid="ignore"):
            means.append(np.where(known, own, 0).sum(axis=1) / known.sum(axis=1))
        why.append(reasons[rows, at[np.argmax(known, axis=1)]])
    return np.column_stack(means), np.column_stack(why)


def deciding_faces(
    model: Any, table: pd.DataFrame, video: str | Path | np.ndarray
) -> list[OneFace] | None:
    """Return the faces that decide about a video with several.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (1, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.
    video : str, Path or ndarray

    Returns
    -------
    list of OneFace or None
        None where each detector chooses the face that it looks at.
    """
    from base_models.scoring.several_faces import faces_of

    how, several = fitted_pooling(model), table.attrs["faces"].get(table.index[0])
    if how == "largest" or several is None:
        return None
    faces = faces_of(video, [member for _, member in named_members(model)], model.store)
    return faces if how == "mean" else [faces[several["decisive"]]]


def disagreements(model: Any, table: pd.DataFrame) -> dict[str, str]:
    """Say of which videos the faces get different verdicts, or some get none.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it.

    Returns
    -------
    dict of str to str
        By video.
    """
    found = {}
    for video, several in table.attrs.get("faces", {}).items():
        if video not in table.index:
            continue
        ids = [f"face {number}" for number in range(1, len(several["scores"]) + 1)]
        of_faces = score_table(several["scores"], ids, list(table.columns))
        p_fake = combined_scores(model, of_faces)
        verdicts = model.thresholds_.verdicts(p_fake)
        if len({verdict for verdict in verdicts if verdict}) > 1:
            said = [
                f"{p:.3f}" + " (the largest face)" * (not place)
                for place, p in enumerate(p_fake)
                if not np.isnan(p)
            ]
            score = model.card_.score_name
            found[video] = f"its faces disagree, {score} {', '.join(said)}"
        elif (unknown := int(np.isnan(p_fake).sum())) and unknown < len(p_fake):
            found[video] = (
                f"{unknown} of its {len(p_fake)} faces of like size "
                f"{'was' if unknown == 1 else 'were'} not scored"
            )
    return found


def each_table(model: Any, videos: Videos) -> Iterator[pd.DataFrame]:
    """Yield the members' scores of videos one by one, each when it is there.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    videos : sequence of length n_videos

    Yields
    ------
    DataFrame of shape (1, n_detectors)
    """
    from base_models.scoring.on_workers import goes_to_workers
    from base_models.scoring.together import iter_scores
    from base_models.video.paths import hashed_once

    members, videos, text = _ready(model, videos)
    if goes_to_workers(members, videos):
        rows = zip(
            row_ids(videos), _by_workers(model, members, videos, text), strict=True
        )
        for name, (scores, reasons, faces) in rows:
            yield members_table(model, [name], scores[None], reasons[None], [faces])
        return
    scored = iter_scores(members, videos, model.store, text)
    rows = zip(videos, row_ids(videos), scored, strict=True)
    for video, name, (scores, reasons) in rows:
        with hashed_once([video]):  # the caller may write to others between two rows
            faces = [face_scores(model, members, video, scores, reasons)]
        yield members_table(model, [name], scores[None], reasons[None], faces)


def whole_table(model: Any, videos: Videos) -> pd.DataFrame:
    """Return the members' scores of videos as one table.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    videos : sequence of length n_videos

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
    """
    from base_models.scoring.on_workers import goes_to_workers
    from base_models.scoring.together import score_videos
    from base_models.video.paths import hashed_once

    members, videos, text = _ready(model, videos)
    if len(videos) and goes_to_workers(members, videos):
        rows = zip(*_by_workers(model, members, videos, text), strict=True)
        scores, reasons, faces = map(list, rows)
        scores, reasons = np.stack(scores), np.stack(reasons)
        return members_table(model, row_ids(videos), scores, reasons, faces)
    with hashed_once(videos):
        scores, reasons = score_videos(members, videos, model.store, text)
        faces = [
            face_scores(model, members, *row)
            for row in zip(videos, scores, reasons, strict=True)
        ]
        return members_table(model, row_ids(videos), scores, reasons, faces)


def _by_workers(model, members, videos, text):
    """Yield scores, reasons and those of several faces, which workers find out."""
    from base_models.scoring.on_workers import score_on_workers
    from base_models.scoring.several_faces import score_if_several

    return score_on_workers(members, videos, model.store, text, score_if_several)


def _ready(model, videos):
    """Return members, videos and the text of the bar; refuse what cannot be scored."""
    from base_models.inputs import as_videos

    check_is_fitted(model)
    members, videos = named_members(model), as_videos(videos)
    fitted_pooling(model)  # another one was set? before any work
    return members, videos, "scoring videos" if model.verbose else None
