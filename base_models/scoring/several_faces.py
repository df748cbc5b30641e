"""Tells which videos show several faces of like size, and scores each by itself."""

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np

from base_models.scoring.together import score_videos
from base_models.store.store import Store, resolve_store
from base_models.video.one_face import MOST_FACES, SMALLEST_SHARE, OneFace
from base_models.views.making import followed_boxes


def faces_of(
    video: str | PathLike | np.ndarray,
    detectors: Iterable,
    store: Store | str | PathLike | None = None,
) -> list[OneFace]:
    """List the faces of a video that are scored by themselves, where there are several.

    Faces are told apart in the frames of the detector that samples most of them.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    detectors : sequence of detectors
    store : Store, str, Path or None, default=None
        Where the boxes of faces are kept.

    Returns
    -------
    list of OneFace
        The largest first, at most `MOST_FACES`, none of them much smaller than the
        first; empty where there are no two, or no detector looks at faces.
    """
    return _all_faces(video, detectors, store)[:MOST_FACES]


def _all_faces(video, detectors, store):
    """List all faces of like size, where there are several."""
    recipes = _face_recipes(detectors)  # in whose frames faces are told apart
    recipe = max(recipes, key=lambda recipe: recipe.n_frames, default=None)
    if recipe is None:
        return []
    tracks = followed_boxes(video, recipe, resolve_store(store))
    areas = [_area(boxes) for _, boxes in tracks]
    order = sorted(range(len(tracks)), key=lambda i: (-areas[i], i))
    kept = [i for i in order if areas[i] >= SMALLEST_SHARE * areas[order[0]]]
    if len(kept) < 2:
        return []
    return [
        OneFace(
            video,
            number,
            tuple(tracks[i][0].tolist()),
            tuple(map(tuple, tracks[i][1].tolist())),
        )
        for number, i in enumerate(kept, start=1)
    ]


def score_faces(
    named: Sequence,
    faces: list[OneFace],
    store: Store | str | PathLike | None = None,
    largest: tuple | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score faces of one video with several fitted detectors.

    Parameters
    ----------
    named : sequence of (name, detector) pairs
        Fitted.
    faces : list of OneFace
        From `faces_of`, of the same detectors.
    store : Store, str, Path or None, default=None
    largest : (scores, reasons) or None, default=None
        Both ndarray of shape (n_detectors,): what the detectors say of the video.
        Where that is about the first of the faces, it is not scored again.

    Returns
    -------
    scores, reasons : ndarray of shape (n_faces, n_detectors)
        As for `base_models.score_videos`.
    """
    if largest is None or not _score_the_largest(named):
        return score_videos(named, faces, store)
    scores, reasons = score_videos(named, faces[1:], store)
    return np.vstack([largest[0], scores]), np.vstack([largest[1], reasons])


def score_if_several(
    named: Sequence,
    video: str | PathLike | np.ndarray,
    store: Store | str | PathLike | None,
    scores: np.ndarray,
    reasons: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Score the faces of a video by themselves, where there are several.

    Parameters
    ----------
    named : sequence of (name, detector) pairs
        Fitted.
    video : str, Path or ndarray
    store : Store, str, Path or None
    scores, reasons : ndarray of shape (n_detectors,)
        What the detectors say of the video.

    Returns
    -------
    (scores, reasons) or None
        Both of shape (n_faces, n_detectors); None where there are no several faces.
        Of more than `MOST_FACES` the smaller ones are not scored: NaN.
    """
    found = _all_faces(video, [detector for _, detector in named], store)
    if not found:
        return None
    of_faces, why = score_faces(named, found[:MOST_FACES], store, (scores, reasons))
    left_out = (max(0, len(found) - MOST_FACES), of_faces.shape[1])
    said = f"of {len(found)} faces the {MOST_FACES} largest are scored by themselves"
    return (
        np.vstack([of_faces, np.full(left_out, np.nan)]),
        np.vstack([why, np.full(left_out, said, dtype=object)]),
    )


def _face_recipes(detectors):
    recipes = []
    for detector in detectors:
        if hasattr(detector, "view_recipes"):
            recipes += [r for r in detector.view_recipes() if r.view == "face"]
        elif hasattr(detector, "member_for"):  # it hands each video to one of several
            recipes += _face_recipes(dict(detector.detectors).values())
    return recipes


def _score_the_largest(named):
    """Whether all detectors look at the one face that is the largest for all."""
    detectors = [detector for _, detector in named]
    if not all(hasattr(detector, "view_recipes") for detector in detectors):
        return False
    recipes = _face_recipes(detectors)
    alike = {(recipe.choice, recipe.finder_key) for recipe in recipes}
    return len(alike) == 1 and all(recipe.faces == "largest" for recipe in recipes)


def _area(boxes):
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return float(sides.prod(axis=1).sum())
