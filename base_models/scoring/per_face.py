"""Looks closely at one video: each face followed and scored by itself, frame by frame.

What `base_models.scoring` says of a video is one score a detector, of its largest face
as a rule. Here every face has scores of its own, with boxes and times, for people to
look at.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from base_models.faces.rare_faces import FaceSearch
from base_models.faces.tracking import FaceTrack, follow_faces, largest_track
from base_models.scoring.naming import name_detectors
from base_models.store.store import resolve_store, store_key
from base_models.video.one_face import SAME_FACE, box_overlap
from base_models.video.paths import video_digest
from base_models.video.reading import iter_frames, probe_video, sample_clips
from base_models.views.drawing import draw_images
from base_models.views.making import make_views
from base_models.views.view import View

WHOLE_FRAME = -1  # in place of a face's number, in timelines
_MAX_LOOKS = 240  # frames of a video in which faces are looked for, at most
_FPS_WITHOUT_CLOCK = 25.0


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


def look_closely(detectors, video, store=None, looks_per_second=4.0, about=None):
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

    Returns
    -------
    CloseLook

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
    named = [
        (name, asked_of(detector, video))
        for name, detector in name_detectors(detectors)
    ]
    looking = [(n, d) for n, d in named if hasattr(d, "score_views")]
    recipes = [r for _, d in looking for r in d.view_recipes() if r.view == "face"]
    lengths = {}  # frames that are sampled -> in a row about each of them
    for recipe in recipes:
        longest = max(recipe.clip_length, lengths.get(recipe.n_frames, 1))
        lengths[recipe.n_frames] = longest
    finders = {recipe._finder_key: _Remembering(recipe.finder) for recipe in recipes}
    samples = _FaceSamples(
        video, lengths, {key: _AsSampled(finder) for key, finder in finders.items()}
    )
    walk = _Walk(video, samples.looked(recipes), looks_per_second)
    faces = []
    if recipes:
        followed = follow_faces(walk.looks(), finders[recipes[0]._finder_key])
        faces = [FaceTrack(walk.looked[t.frames], t.faces) for t in followed]
    walk.to_the_end()
    samples.faces = faces
    names = [name for name, _ in named]
    scores = np.full((len(faces), len(names)), np.nan)
    reasons = np.full(scores.shape, "", dtype=object)
    chosen = None if about is None else {samples.face_of(face) for face in about}
    timeline, shared, seen = [], {}, {}
    for column, (name, detector) in enumerate(named):
        if not hasattr(detector, "score_views"):
            continue
        own, rows, views = _own_timeline(detector, video, store, shared, samples)
        if not any(recipe.view == "face" for recipe in _in_use(detector)):
            scores[:, column], reasons[:, column] = own
            seen[name, WHOLE_FRAME] = views
            rows = rows.assign(pooled=True)
        else:
            pooled, decided = _places(rows), _places(rows[rows["decided"]])
            parts = []
            for face in range(len(faces)):
                score, why, part, views = samples.score(detector, face, store, shared)
                scores[face, column], reasons[face, column] = score, why
                if len(part):
                    seen[name, face] = views
                    part = part.assign(face=face)
                    if chosen is None:
                        part["decided"] = [(face, f) in decided for f in part["frame"]]
                        part["pooled"] = [(face, f) in pooled for f in part["frame"]]
                    else:
                        part["pooled"] = face in chosen
                        part["decided"] = part["pooled"] & detector.deciding_frames(
                            part
                        )
                    parts.append(part)
            rows = pd.concat(parts, ignore_index=True) if parts else rows.iloc[:0]
        timeline.append(rows.assign(detector=name))
    columns = ["detector", "frame", "seconds", "face", "score", "decided", "pooled"]
    table = pd.DataFrame(columns=columns)
    if timeline and any(map(len, timeline)):
        table = pd.concat([t for t in timeline if len(t)], ignore_index=True)
        last = len(walk.times) - 1
        table["seconds"] = walk.times[table["frame"].to_numpy(int).clip(0, last)]
        table = table[columns]
    height, width = walk.size
    return CloseLook(
        walk.times,
        walk.fps,
        width,
        height,
        faces,
        pd.DataFrame(scores, columns=names),
        pd.DataFrame(reasons, columns=names),
        table,
        {place: next(iter(views.values())) for place, views in seen.items()},
    )


def box_at(face, frame, reach):
    """Return where a followed face is in any frame, drawn between where it was seen.

    Parameters
    ----------
    face : FaceTrack
        By index of the frame in the video.
    frame : int
    reach : int
        Frames between two looks: over more than three of these without the face, and
        more than half a look before the first and after the last, it is not there.

    Returns
    -------
    tuple of float or None
        left, top, right, bottom.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.scoring.per_face import box_at
    >>> from base_models.face_tracks import FaceTrack
    >>> from base_models.faces import Face
    >>> seen = [Face((0, 0, 9, 9), 1.0), Face((10, 0, 19, 9), 1.0)]
    >>> box_at(FaceTrack(np.array([4, 8]), seen), 6, reach=4)
    (5.0, 0.0, 14.0, 9.0)
    >>> box_at(FaceTrack(np.array([4, 8]), seen), 0, reach=4) is None
    True
    """
    after = int(np.searchsorted(face.frames, frame))
    if after < len(face) and face.frames[after] == frame:
        return tuple(map(float, face.faces[after].box))
    if after in (0, len(face)):
        near = 0 if after == 0 else -1
        if abs(int(face.frames[near]) - frame) <= -(-reach // 2):
            return tuple(map(float, face.faces[near].box))
        return None
    start, end = int(face.frames[after - 1]), int(face.frames[after])
    if end - start > 3 * reach:
        return None
    share = (frame - start) / (end - start)
    before, following = (
        np.array(f.box, float) for f in face.faces[after - 1 : after + 1]
    )
    return tuple((before + share * (following - before)).tolist())


class _Walk:
    """One pass over a video: frames to look for faces in, and when all are shown."""

    def __init__(self, video, looked, looks_per_second):
        info = probe_video(video)
        self.size = (info.height, info.width)
        rate = info.fps or _FPS_WITHOUT_CLOCK
        step = max(1, round(rate / looks_per_second))
        step = max(step, -(-info.n_frames // _MAX_LOOKS))
        self._wanted = set(range(0, info.n_frames, step)) | {info.n_frames - 1}
        self._wanted |= looked  # where detectors look, boxes are to be known exactly
        self._frames = iter_frames(video, return_times=True)
        self._clock, self._looked = [], []

    def looks(self):
        for index, (frame, seconds) in enumerate(self._frames):
            self._clock.append(seconds)
            if index in self._wanted:
                self._looked.append(index)
                yield frame

    def to_the_end(self):
        self._clock += [seconds for _, seconds in self._frames]
        clock = self._clock
        known = None not in clock and all(np.diff(clock) > 0)
        self.times = (
            np.array(clock, float) - clock[0]
            if known
            else np.arange(len(clock)) / _FPS_WITHOUT_CLOCK
        )
        lasted = self.times[-1] if len(clock) > 1 else 0
        self.fps = (len(clock) - 1) / float(lasted) if lasted else _FPS_WITHOUT_CLOCK

    @property
    def looked(self):
        return np.array(self._looked, int)


class _FaceSamples:
    """The faces in the frames that detectors sample, told apart."""

    def __init__(self, video, lengths, finders):
        self.video, self.faces = video, []
        self._digest = video_digest(video)
        self._searches = {
            n: FaceSearch(video, sample_clips(video, n, length), length)
            for n, length in lengths.items()
        }
        self._finders, self._tracks = finders, {}

    def looked(self, recipes):
        """Return the frames of the video in which the recipes have their faces."""
        return {int(n) for r in recipes for n in self._followed(r).sample.indices}

    def _followed(self, recipe, surest=False):
        search, key = self._searches[recipe.n_frames], recipe._finder_key
        return search.faces(self._finders[key], key, surest)

    def tracks(self, recipe):
        """Return {face: its track through the recipe's frames}, the largest first."""
        key = recipe.n_frames, recipe._finder_key
        if key not in self._tracks:
            followed = self._followed(recipe)
            numbered, left = {}, list(followed.tracks)
            while left:
                track = largest_track(left)
                left = [other for other in left if other is not track]
                face = self._face_of(track, followed.sample.indices)
                if face is not None and face not in numbered:
                    numbered[face] = track
            self._tracks[key] = numbered
        return self._tracks[key]

    def in_order(self, recipe):
        """Return which face each followed track is of, -1 for none, as views count."""
        numbered = self.tracks(recipe)
        followed = self._followed(recipe).tracks
        faces = {id(track): face for face, track in numbered.items()}
        return [faces.get(id(track), WHOLE_FRAME) for track in followed]

    def face_at(self, recipe, index, box):
        """Return which face a box in one frame is of."""
        return self._best([(index, box)])

    def surest(self, recipe):
        """Return {frame: box} of the face of which the finder is surest."""
        found = self._followed(recipe, surest=True)
        return {
            int(found.sample.indices[place]): face.box
            for track in found.tracks
            for place, face in zip(track.frames, track.faces, strict=True)
        }

    def face_of(self, face):
        """Return which face a `OneFace` is."""
        return self._best(zip(face.frames, face.boxes, strict=True))

    def score(self, detector, face, store, shared):
        """Score one face by itself: score, reason, frames, and what was seen."""
        views = {}
        for recipe in _in_use(detector):
            if recipe.view != "face":
                views |= make_views(self.video, [recipe], store)
                continue
            track = self.tracks(recipe).get(face)
            if track is None:
                why = f"not followed through its {recipe.n_frames} frames"
                nothing = pd.DataFrame(columns=["frame", "face", "score"])
                return np.nan, why, nothing, {}
            views[recipe.key] = self._view(recipe, track)
        return *detector.score_views(views, shared), views

    def _view(self, recipe, track):
        sample = self._followed(recipe).sample
        images, at, reason = draw_images(sample, recipe, track.frames, track.faces)
        boxes = [list(found.box) for found in track.faces]
        key = store_key(
            video=self._digest, recipe=recipe.key, at=at.tolist(), boxes=boxes
        )
        return View(images, at, np.zeros(len(at), np.int64), reason, key)

    def _face_of(self, track, indices):
        places = zip(indices[track.frames].tolist(), track.faces, strict=True)
        return self._best([(index, found.box) for index, found in places])

    def _best(self, places):
        places = list(places)
        overlaps = [
            np.mean(
                [
                    box_overlap(box, box_at(face, index, reach=10**6))
                    for index, box in places
                ]
            )
            for face in self.faces
        ]
        best = int(np.argmax(overlaps)) if overlaps else 0
        return best if overlaps and overlaps[best] >= SAME_FACE else None


class _Remembering:
    """A face finder that looks at each frame once."""

    def __init__(self, finder):
        self._finder, self._found = finder, {}

    def find(self, frame):
        key = hashlib.blake2b(np.ascontiguousarray(frame), digest_size=16).digest()
        if key not in self._found:
            self._found[key] = self._finder.find(frame)
        return self._found[key]


class _AsSampled:
    """The same finder, following faces through samples as views are made: by `every`.

    Boxes found near where a face was differ a little from those of whole looks, and a
    face's score is to be that of the verdict.
    """

    def __init__(self, finder):
        self._finder, self.find = finder._finder, finder.find
        self.every = getattr(self._finder, "every", 1)

    def find_near(self, frame, faces):
        return self._finder.find_near(frame, faces)


def _own_timeline(detector, video, store, shared, samples):
    """Return what a detector says of the video, its frames with their faces, views."""
    recipes = _in_use(detector)
    views = make_views(video, recipes, store)
    score, reason, frames = detector.score_views(views, shared)
    rows = frames.assign(decided=detector.deciding_frames(frames))
    looking = [recipe for recipe in recipes if recipe.view == "face"]
    if not looking:
        return (score, reason), rows.assign(face=WHOLE_FRAME), views
    (recipe, *_) = looking
    if recipe.faces == "first":
        boxes = samples.surest(recipe)
        face = [
            samples.face_at(recipe, frame, boxes[frame]) if frame in boxes else None
            for frame in rows["frame"].tolist()
        ]
        face = [WHOLE_FRAME if f is None else f for f in face]
        return (score, reason), rows.assign(face=face), views
    own = samples.tracks(recipe)
    if recipe.faces == "largest":
        face = next(iter(own), WHOLE_FRAME)
        return (score, reason), rows.assign(face=face), views
    numbers = np.array([*samples.in_order(recipe), WHOLE_FRAME])
    face = numbers[rows["face"].to_numpy(int)]
    return (score, reason), rows.assign(face=face), views


def _in_use(detector):
    """The recipes as they were at the beginning, with the keys that they had then."""
    return getattr(detector, "recipes_in_use", detector.view_recipes)()


def _places(rows):
    return set(zip(rows["face"], rows["frame"], strict=True))


def asked_of(detector, video):
    """Return the detector that scores a video: itself, or whom it hands that one to."""
    while hasattr(detector, "member_for"):
        detector = detector.member_for(video)
    return detector
