"""Follows the faces of a video, in one pass over it, for a close look at each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from base_models.faces.finding_time import looking_in_time
from base_models.faces.rare_faces import FaceSearch, FollowedFaces
from base_models.faces.tracking import FaceTrack, follow_faces, largest_track
from base_models.store.store import Store, resolve_store
from base_models.video.bounds.budget import one_reading
from base_models.video.one_face import SAME_FACE, box_overlap
from base_models.video.reading import (
    SampledFrames,
    VideoInfo,
    iter_frames,
    key_frames,
    probe_video,
    sample_clips,
)
from base_models.video.sampling import KeyFrames, clip_indices
from base_models.views.making import make_views, views_to_make
from base_models.views.spec import ViewRecipe

WHOLE_FRAME = -1  # in place of a face's number, in timelines
_MAX_LOOKS = 240  # frames of a video in which faces are looked for, at most
_FPS_WITHOUT_CLOCK = 25.0


def follow_video(
    detectors: Iterable,
    video: str | PathLike | np.ndarray,
    store: Store | str | PathLike | None = None,
    looks_per_second: float = 4.0,
    on_frame: Callable[[float], None] | None = None,
) -> FollowedVideo:
    """Follow the faces of a video, and make the views that detectors look at.

    The video is decoded once for both. The views lie in the store afterwards.

    Parameters
    ----------
    detectors : iterable of detectors
        Fitted; those that score no views are passed over.
    video : str, Path or ndarray of shape (T, H, W, 3)
    store : Store, str, Path or None, default=None
        Where views are kept.
    looks_per_second : float, default=4.0
        How often faces are looked for; less often in videos over a minute.
    on_frame : callable or None, default=None
        Called after each frame with the share of the video that was read, 0 to 1.

    Raises
    ------
    VideoReadError
        If the video cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.scoring.following import follow_video
    >>> followed = follow_video([], np.zeros((50, 48, 64, 3), np.uint8))
    >>> len(followed.times), followed.fps, followed.faces
    (50, 25.0, [])
    """
    with one_reading(video):
        return _followed(
            detectors, video, resolve_store(store), looks_per_second, on_frame
        )


def _followed(detectors, video, store, looks_per_second, on_frame):
    looking = [detector for detector in detectors if hasattr(detector, "score_views")]
    recipes = [recipe for detector in looking for recipe in detector.view_recipes()]
    of_faces = [recipe for recipe in recipes if recipe.view == "face"]
    info = probe_video(video)
    lengths = {}  # which frames are sampled -> in a row about each of them
    for recipe in [*of_faces, *views_to_make(video, recipes, store)]:
        longest = max(recipe.clip_length, lengths.get(recipe.choice, 1))
        lengths[recipe.choice] = longest
    moved = any(choice.sampling == "keyframes" for choice in lengths)
    frames = _Places(info.n_frames, key_frames(video) if moved else None)
    looks = _regular_looks(info, looks_per_second) if of_faces else set()
    # Where detectors look, boxes are to be known exactly.
    sampled = frames.of({recipe.choice: 1 for recipe in of_faces})
    tell = None if on_frame is None else _Share(on_frame, info.n_frames)
    walk = _Walk(video, looks | sampled, frames.of(lengths), tell)
    finders = {recipe.finder_key: _Remembering(recipe.finder) for recipe in of_faces}
    finder = finders[of_faces[0].finder_key] if of_faces else None
    faces = walk.follow(finder)
    searches = {
        choice: FaceSearch(video, walk.sample(frames, choice, length), length)
        for choice, length in lengths.items()
    }
    followed = FollowedVideo(video, walk, faces, searches, finders)
    with_face = followed.frames_with_faces(of_faces)
    if with_face != sampled:  # few frames show a face, and the sample is around them
        walk = _Walk(video, looks | with_face, tell=tell)
        faces = walk.follow(finder)
        followed = FollowedVideo(video, walk, faces, searches, finders)
    for recipe in of_faces:  # with finders that look at each frame once
        followed.faces_in_sample(recipe, surest=recipe.faces == "first")
    make_views(video, recipes, store, searches)
    return followed


class FollowedVideo:
    """A video whose faces were followed, and are told apart where detectors look.

    Attributes
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    times : ndarray of shape (n_frames,)
        When each frame is shown, seconds from the first; at 25 a second where the
        video has no clock.
    fps : float
        Mean frames a second.
    faces : list of FaceTrack
        Each followed face, by index of the frame in the video.
    dropped : list of FaceTrack
        What was too short or too weak to be followed, by index of the frame.
    searches : dict of FrameChoice to FaceSearch
        By which frames are sampled: the sample, and the faces in it.
    """

    def __init__(
        self, video: Any, walk: Any, faces: Any, searches: Any, finders: Any
    ) -> None:
        self.video, self.faces, self.searches = video, faces, searches
        self.dropped = walk.dropped
        self.times, self.fps = walk.times()
        self._finders = {key: _AsSampled(finder) for key, finder in finders.items()}
        self._tracks = {}

    def faces_in_sample(
        self, recipe: ViewRecipe, surest: bool = False
    ) -> FollowedFaces:
        """Return the faces in the frames that a recipe samples."""
        search, key = self.searches[recipe.choice], recipe.finder_key
        if key not in self._finders:
            self._finders[key] = _AsSampled(_Remembering(recipe.finder))
        return search.faces(self._finders[key], key, surest)

    def frames_with_faces(self, recipes: Iterable[ViewRecipe]) -> set[int]:
        """Return the frames of the video in which the recipes have their faces."""
        return {
            int(number)
            for recipe in recipes
            for number in self.faces_in_sample(recipe).sample.indices
        }

    def tracks(self, recipe: ViewRecipe) -> dict[int, FaceTrack]:
        """Return {face: its track through the recipe's frames}, the largest first."""
        key = recipe.choice, recipe.finder_key
        if key not in self._tracks:
            followed = self.faces_in_sample(recipe)
            numbered, left = {}, list(followed.tracks)
            while left:
                track = largest_track(left)
                left = [other for other in left if other is not track]
                frames = followed.sample.indices[track.frames].tolist()
                face = self.face_at(frames, [found.box for found in track.faces])
                if face is not None and face not in numbered:
                    numbered[face] = track
            self._tracks[key] = numbered
        return self._tracks[key]

    def in_order(self, recipe: ViewRecipe) -> list[int]:
        """Return which face each followed track is of, -1 for none, as views count."""
        numbered = self.tracks(recipe)
        followed = self.faces_in_sample(recipe).tracks
        faces = {id(track): face for face, track in numbered.items()}
        return [faces.get(id(track), WHOLE_FRAME) for track in followed]

    def surest(self, recipe: ViewRecipe) -> dict[int, tuple]:
        """Return {frame: box} of the face of which the finder is surest."""
        found = self.faces_in_sample(recipe, surest=True)
        return {
            int(found.sample.indices[place]): face.box
            for track in found.tracks
            for place, face in zip(track.frames, track.faces, strict=True)
        }

    def face_at(self, frames: Iterable[int], boxes: Iterable[tuple]) -> int | None:
        """Return which face boxes are of, one in each of some frames of the video."""
        places = list(zip(frames, boxes, strict=True))
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


def box_at(face: FaceTrack, frame: int, reach: int) -> tuple | None:
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
    >>> from base_models.scoring.following import box_at
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


class _Share:
    """Tells which share of a video was read, by the frame that was."""

    def __init__(self, on_frame, total):
        self._on_frame, self._total = on_frame, max(total, 1)

    def __call__(self, index):
        self._on_frame(min(1.0, (index + 1) / self._total))


class _Walk:
    """One pass over a video: follows faces, keeps some frames, notes all times."""

    def __init__(self, video, looks, kept=frozenset(), tell=None):
        self._video, self._looks, self._kept = video, looks, kept
        self._tell = tell or (lambda index: None)
        self._clock, self._looked, self._frames = [], [], {}
        self.dropped = []

    def follow(self, finder):
        """Go through the video; follow faces in the frames that are looked at."""
        looks = self._walked()
        tracks, dropped = [], []
        if finder is not None:
            with looking_in_time(finder, self._video) as finder:
                tracks = follow_faces(looks, finder, dropped)
        for _ in looks:
            pass  # to the end, where no face is followed
        looked = np.array(self._looked, int)
        tracks, self.dropped = (
            [FaceTrack(looked[track.frames], track.faces) for track in found]
            for found in (tracks, dropped)
        )
        return tracks

    def _walked(self):
        wanted = self._looks | self._kept
        frames = iter_frames(self._video, return_times=True, at=wanted)
        for index, (frame, seconds) in enumerate(frames):
            self._clock.append(seconds)
            self._tell(index)
            if index in self._kept:
                self._frames[index] = frame
            if index in self._looks:
                self._looked.append(index)
                yield frame

    def sample(self, places, choice, clip_length):
        """Return what `sample_clips` does, of the frames that were kept."""
        total = len(self._clock)
        if total != places.total:  # its packets foretell other frames
            return sample_clips(
                self._video, choice.n_frames, clip_length, sampling=choice.sampling
            )
        numbers = np.array(sorted(places.of({choice: clip_length})))
        frames = np.stack([self._frames[number] for number in numbers.tolist()])
        return SampledFrames(frames, numbers, places.sampled(choice), total)

    def times(self):
        """Return when each frame is shown, and how many are in a second."""
        clock = self._clock
        known = None not in clock and all(np.diff(clock) > 0)
        times = (
            np.array(clock, float) - clock[0]
            if known
            else np.arange(len(clock)) / _FPS_WITHOUT_CLOCK
        )
        lasted = times[-1] if len(clock) > 1 else 0
        fps = (len(clock) - 1) / float(lasted) if lasted else _FPS_WITHOUT_CLOCK
        return times, fps


def _regular_looks(info: VideoInfo, looks_per_second: float) -> set[int]:
    """Choose frames in which faces are looked for."""
    rate = info.fps or _FPS_WITHOUT_CLOCK
    step = max(1, round(rate / looks_per_second), -(-info.n_frames // _MAX_LOOKS))
    return set(range(0, info.n_frames, step)) | {info.n_frames - 1}


@dataclass
class _Places:
    """Which frames of a video are sampled: how many it has, and its key frames."""

    total: int
    keys: KeyFrames | None

    def sampled(self, choice):
        return choice.indices(self.total, self.keys)

    def of(self, lengths):
        """Return the frames in samples by what they are of and clip lengths."""
        return {
            int(number)
            for choice, length in lengths.items()
            for number in clip_indices(
                self.sampled(choice), self.total, min(length, self.total)
            ).flat
        }


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
