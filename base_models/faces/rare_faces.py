"""Finds a face that is visible in few frames, where the sampled frames show none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from base_models.faces.finding_time import looking_in_time
from base_models.faces.tracking import FaceTrack, follow_faces, of_like_size
from base_models.video.reading import SampledFrames, sample_clips
from base_models.video.sampling import sample_indices

if TYPE_CHECKING:
    from base_models.faces.face import FaceFinder

_FURTHER = 4  # times as many further frames as were sampled are looked at, at most
_ROUNDS = (2, 0, 3, 1)  # each takes every fourth of them, so all of the video at once
NO_FACE = "no face found"


@dataclass(frozen=True)
class FollowedFaces:
    """The faces of a video, and the frames in which they were followed.

    Attributes
    ----------
    sample : SampledFrames
        The frames sampled evenly over the video, or around the few with a face.
    tracks : list of FaceTrack
        Each face, by place in ``sample.indices``; empty where no frame has one.
    note : str
        Says so where further frames had to be looked at; else empty.
    reason : str
        Why there is no face; empty where there is one.
    unscored : str
        Says that a face of like size beside them was too weak or too short to be
        followed; else empty.
    """

    sample: SampledFrames
    tracks: list
    note: str = ""
    reason: str = ""
    unscored: str = ""


class FaceSearch:
    """Follows the faces of one video through its sampled frames, once a finder.

    Where no sampled frame has a face, up to four times as many further frames are
    looked at, spread between them. The first with a face end the search, and the sample
    is then taken around them.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    sample : SampledFrames
        Of the video.
    clip_length : int, default=1
        Frames in a row about each sampled one.

    Examples
    --------
    >>> from base_models.faces import Face
    >>> class Corner:
    ...     def find(self, frame):
    ...         return [Face((0, 0, 9, 9), 1.0)] if frame.any() else []
    >>> video = np.zeros((100, 48, 64, 3), np.uint8)
    >>> video[40:45] = 255  # shows "a face" for a moment
    >>> found = FaceSearch(video, sample_clips(video, 4)).faces(Corner(), "corner")
    >>> found.sample.indices.tolist(), found.note
    ([34, 40, 43, 52], 'face found in 1 of 10 frames looked at')
    """

    def __init__(
        self,
        video: str | Path | np.ndarray,
        sample: SampledFrames,
        clip_length: int = 1,
    ) -> None:
        self._video, self.sample, self.clip_length = video, sample, clip_length
        self._known = {}

    def faces(
        self, finder: FaceFinder, key: str, surest: bool = False
    ) -> FollowedFaces:
        """Return the faces that a finder finds.

        Parameters
        ----------
        finder : FaceFinder
            What it takes counts as reading, between one frame and the next.
        key : str
            Stands for the finder: equal ones share what was found.
        surest : bool, default=False
            Follow none, and take of each frame the face that the finder gives first.

        Returns
        -------
        FollowedFaces
        """
        if (key, surest) not in self._known:
            follow = _surest_faces if surest else follow_faces
            with looking_in_time(finder, self._video) as finder:
                self._known[key, surest] = self._search(follow, finder)
        return self._known[key, surest]

    def _search(self, follow, finder):
        dropped: list = []
        tracks = follow(self.sample.sampled, finder, dropped)
        if tracks:
            unscored = _unscored(dropped, tracks, len(self.sample.indices))
            return FollowedFaces(self.sample, tracks, unscored=unscored)
        looked, hits = self._look_further(finder)
        if not hits:
            reason = f"{NO_FACE} ({len(looked)} frames tried)"
            return FollowedFaces(self.sample, [], reason=reason)
        at = _around(np.sort(looked), np.sort(hits), len(self.sample.indices))
        around = sample_clips(self._video, at=at, clip_length=self.clip_length)
        tracks = follow(around.sampled, finder, dropped)
        return FollowedFaces(
            around,
            tracks,
            unscored=_unscored(dropped, tracks, len(at)),
            note=f"face found in {len(hits)} of {len(looked)} frames looked at",
        )

    def _look_further(self, finder):
        """Return which frames were looked at in all, and which of them have a face."""
        sample = self.sample
        wanted = sample_indices(sample.total, _FURTHER * len(sample.indices))
        wanted = np.setdiff1d(wanted, sample.indices)
        looked, hits = sample.indices.tolist(), []
        for offset in _ROUNDS:
            numbers = wanted[offset :: len(_ROUNDS)]
            if not len(numbers) or hits:
                continue
            further = sample_clips(self._video, at=numbers)
            for number, frame in zip(further.indices, further.sampled, strict=True):
                looked.append(int(number))
                if finder.find(frame):
                    hits.append(int(number))
        return looked, hits


def _unscored(dropped, tracks, n_frames):
    """Say that a face is not scored which is about as large as those that are."""
    alike = of_like_size(dropped, tracks)
    if not alike:
        return ""
    n_seen = max(map(len, alike))
    return (
        f"a face of like size, seen in {n_seen} of {n_frames} frames alone, "
        "was not scored"
    )


def _around(looked, hits, n_frames):
    """Choose frames evenly between the frames without a face next to those with one."""
    places = np.searchsorted(looked, hits)
    edges = np.r_[-1, looked, looked[-1] + 1]
    near = [np.arange(edges[place] + 1, edges[place + 2]) for place in places]
    others = np.setdiff1d(np.concatenate(near), hits)
    if len(hits) >= n_frames:
        return hits[sample_indices(len(hits), n_frames)]
    n_others = min(n_frames - len(hits), len(others))
    if n_others:
        others = others[sample_indices(len(others), n_others)]
    return np.union1d(hits, others[:n_others])


def _surest_faces(frames, finder, dropped):
    """The first face that the finder gives of each frame, as one track."""
    found = [(row, finder.find(frame)[:1]) for row, frame in enumerate(frames)]
    rows = [row for row, faces in found if faces]
    return (
        [FaceTrack(np.array(rows), [faces[0] for _, faces in found if faces])]
        if rows
        else []
    )
