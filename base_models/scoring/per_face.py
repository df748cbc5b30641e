"""Looks closely at one video: each face followed and scored by itself, frame by frame.

What `base_models.scoring` says of a video is one score a detector, of its largest face
as a rule. Here every face has scores of its own, with boxes and times, for people to
look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from base_models.faces.tracking import of_like_size
from base_models.scoring.following import WHOLE_FRAME, FollowedVideo, follow_video
from base_models.scoring.naming import name_detectors
from base_models.store.in_use import store_in_use
from base_models.store.store import Store, resolve_store, store_key
from base_models.video.one_face import OneFace
from base_models.video.paths import video_digest
from base_models.video.reading import probe_video
from base_models.views.drawing import draw_images
from base_models.views.making import LOOKS, make_views
from base_models.views.view import View


@dataclass(frozen=True)
class CloseLook:
    """What several detectors see in one video.

    Attributes
    ----------
    times : ndarray of shape (n_frames,)
        When each frame is shown, seconds from the first; at 25 a second where the
        video has no clock.
    fps : float
        Mean frames a second.
    width, height : int
        Pixels.
    faces : list of FaceTrack
        Each followed face, by index of the frame in the video.
    scores : DataFrame of shape (n_faces, n_detectors)
        P(fake) of each face; of the video, for a detector that looks at whole frames.
    reasons : DataFrame of shape (n_faces, n_detectors)
        Why there is no score, else empty.
    timeline : DataFrame
        Columns detector, frame, seconds, face (-1 for whole frames), score, decided
        (whether the frame decided what the detector says of the video) and pooled
        (whether that is made of the frame's score at all). Of a detector that offers
        no timeline there are no rows.
    views : dict of (str, int) to View
        What each detector saw, by detector and face (-1 for whole frames).
    unscored : str
        Says that a face about as large as the largest has no score, since it is not
        followed where detectors look; else empty.
    """

    times: np.ndarray
    fps: float
    width: int
    height: int
    faces: list
    scores: pd.DataFrame
    reasons: pd.DataFrame
    timeline: pd.DataFrame
    views: dict = field(repr=False, default_factory=dict)
    unscored: str = ""


def look_closely(
    detectors: Sequence | dict,
    video: str | PathLike | np.ndarray,
    store: Store | str | PathLike | None = None,
    looks_per_second: float = 4.0,
    about: list[OneFace] | None = None,
    followed: FollowedVideo | None = None,
) -> CloseLook:
    """Score each face of a video by itself, and each frame.

    The faces that a detector scores are those it follows through the frames that it
    samples; they are told apart, and followed in between, by looking for faces in more
    frames.

    Parameters
    ----------
    detectors : sequence of detectors, of (name, detector) pairs, or dict
        Fitted.
    video : str, Path or ndarray of shape (T, H, W, 3)
    store : Store, str, Path or None, default=None
        Where views and features are kept.
    looks_per_second : float, default=4.0
        How often faces are looked for; less often in videos over a minute.
    about : list of OneFace or None, default=None
        The faces that decide about the video; None leaves that to each detector.
    followed : FollowedVideo or None, default=None
        From `follow_video`, if the video was read before; None reads it.

    Raises
    ------
    VideoReadError
        If the video cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> from base_models.scoring.per_face import look_closely
    >>> shades = np.repeat([40, 200], 4)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None, image_size=32,
    ...     n_frames=2, random_state=0,
    ... ).fit(videos, shades > 100)
    >>> look = look_closely([detector], videos[-1])
    >>> look.timeline[["frame", "seconds", "face", "decided"]]
       frame  seconds  face  decided
    0      0     0.00    -1     True
    1      7     0.28    -1    False
    """
    store = resolve_store(store)
    members = [
        (name, asked_of(detector, video))
        for name, detector in name_detectors(detectors)
    ]
    if followed is None:
        looking = [detector for _, detector in members]
        followed = follow_video(looking, video, store, looks_per_second)
    main = None
    if about is not None:
        main = {followed.face_at(face.frames, face.boxes) for face in about}
    shape = len(followed.faces), len(members)
    scores, reasons = np.full(shape, np.nan), np.full(shape, "", dtype=object)
    timelines, views, shared = [], {}, {}
    for column, (name, detector) in enumerate(members):
        if not hasattr(detector, "score_views"):
            continue
        with store_in_use(store):
            look = _look_of(detector, followed, store, shared, main)
        scores[:, column], reasons[:, column] = look.scores, look.reasons
        timelines.append(look.timeline.assign(detector=name))
        views |= {(name, face): view for face, view in look.views.items()}
    names, info = [name for name, _ in members], probe_video(video)
    return CloseLook(
        followed.times,
        followed.fps,
        info.width,
        info.height,
        followed.faces,
        pd.DataFrame(scores, columns=names),
        pd.DataFrame(reasons, columns=names),
        _timeline_table(timelines, followed.times),
        views,
        _unscored(followed, [detector for _, detector in members]),
    )


def _unscored(followed, detectors):
    """Say when a face of like size is there that no detector of faces follows."""
    recipes = [
        recipe
        for detector in detectors
        if hasattr(detector, "score_views")
        for recipe in _in_use(detector)
        if recipe.view == "face"
    ]
    scored = {face for recipe in recipes for face in followed.tracks(recipe)}
    if not scored:
        return ""
    others = [face for n, face in enumerate(followed.faces) if n not in scored]
    others += followed.dropped
    alike = of_like_size(others, [followed.faces[n] for n in sorted(scored)])
    seen = [[followed.times[face.frames[at]] for at in (0, -1)] for face in alike]
    return "; ".join(
        f"a face of like size, seen from {first:.1f} to {last:.1f} s, was looked at by "
        "no detector of faces"
        for first, last in seen
    )


@dataclass(frozen=True)
class _MemberLook:
    """What one detector says of each face; of the video, if it looks at whole frames.

    As in `CloseLook`, with views by face; `scores` and `reasons` are of shape
    (n_faces,), or one for all faces.
    """

    scores: np.ndarray | float
    reasons: np.ndarray | str
    timeline: pd.DataFrame
    views: dict


def _look_of(detector, followed, store, shared, main):
    """Score every face with one detector; `main` has the deciding faces, or is None."""
    recipes = _in_use(detector)
    views = make_views(followed.video, recipes, store, followed.searches)
    score, reason, frames = detector.score_views(views, shared)
    frames = frames.assign(decided=detector.deciding_frames(frames))
    of_faces = [recipe for recipe in recipes if recipe.view == "face"]
    if not of_faces:
        frames = frames.assign(face=WHOLE_FRAME, pooled=True)
        return _MemberLook(score, reason, frames, {WHOLE_FRAME: _first(views)})
    frames = frames.assign(face=_shown_faces(of_faces[0], frames, followed))
    pooled, decided = _places(frames), _places(frames[frames["decided"]])
    n_faces = len(followed.faces)
    scores, reasons = np.full(n_faces, np.nan), np.full(n_faces, "", dtype=object)
    timelines, seen = [], {}
    for face in range(n_faces):
        scores[face], reasons[face], rows, views = _score_face(
            detector, face, followed, store, shared
        )
        if not len(rows):
            continue
        rows = rows.assign(face=face)
        if main is None:
            rows["decided"] = [(face, frame) in decided for frame in rows["frame"]]
            rows["pooled"] = [(face, frame) in pooled for frame in rows["frame"]]
        else:
            rows["pooled"] = face in main
            rows["decided"] = rows["pooled"] & detector.deciding_frames(rows)
        timelines.append(rows)
        seen[face] = _first(views)
    timeline = pd.concat(timelines, ignore_index=True) if timelines else frames.iloc[:0]
    return _MemberLook(scores, reasons, timeline, seen)


def _shown_faces(recipe, frames, followed):
    """Return the face in each row of a detector's timeline of the video."""
    if recipe.faces == "largest":
        return next(iter(followed.tracks(recipe)), WHOLE_FRAME)
    if recipe.faces == "all":
        numbers = np.array([*followed.in_order(recipe), WHOLE_FRAME])
        return numbers[frames["face"].to_numpy(int)]
    boxes = followed.surest(recipe)
    faces = [
        followed.face_at([frame], [boxes[frame]]) if frame in boxes else None
        for frame in frames["frame"].tolist()
    ]
    return [WHOLE_FRAME if face is None else face for face in faces]


def _score_face(detector, face, followed, store, shared):
    """Return score, reason, timeline and views of one face."""
    views = {}
    for recipe in _in_use(detector):
        if recipe.view != "face":
            views |= make_views(followed.video, [recipe], store, followed.searches)
            continue
        track = followed.tracks(recipe).get(face)
        if track is None:
            reason = f"not followed through its {recipe.n_frames} frames"
            nothing = pd.DataFrame(columns=["frame", "face", "score"])
            return np.nan, reason, nothing, {}
        views[recipe.key] = _view_of_track(recipe, track, followed)
    return *detector.score_views(views, shared), views


def _view_of_track(recipe, track, followed):
    sample = followed.faces_in_sample(recipe).sample
    images, at, reason = draw_images(sample, recipe, track.frames, track.faces)
    boxes = [list(face.box) for face in track.faces]
    digest = video_digest(followed.video)
    key = store_key(
        video=digest, recipe=recipe.key, at=at.tolist(), boxes=boxes, looks=LOOKS
    )
    return View(images, at, np.zeros(len(at), np.int64), reason, key)


def _timeline_table(timelines, times):
    """Join the timelines of detectors, with the seconds of their frames."""
    columns = ["detector", "frame", "seconds", "face", "score", "decided", "pooled"]
    timelines = [timeline for timeline in timelines if len(timeline)]
    if not timelines:
        return pd.DataFrame(columns=columns)
    table = pd.concat(timelines, ignore_index=True)
    rows = table["frame"].to_numpy(int).clip(0, len(times) - 1)
    return table.assign(seconds=times[rows])[columns]


def _in_use(detector):
    """The recipes as they were at the beginning, with the keys that they had then."""
    return getattr(detector, "recipes_in_use", detector.view_recipes)()


def _first(views):
    return next(iter(views.values()))


def _places(rows):
    return set(zip(rows["face"], rows["frame"], strict=True))


def asked_of(detector: Any, video: str | PathLike | np.ndarray) -> Any:
    """Return the detector that scores a video: itself, or whom it hands that one to."""
    while hasattr(detector, "member_for"):
        detector = detector.member_for(video)
    return detector
