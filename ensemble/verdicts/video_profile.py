"""What videos are like, whoever is in them: frame size, codec, quantiser, face size.

A detector knows the kind of video that it learned from. `TrainingProfile` keeps that
kind, and `unlike` says in which way a new video differs from it.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning

if TYPE_CHECKING:
    from base_models.inputs import Videos
    from base_models.store.store import Store

_MOST_PROFILED = 400  # training videos that are looked at, evenly spread
_TIMES = 1.5  # by which sizes may lie outside those of training
_MANY = 8  # frames; that many are as good as all those of a longer video
_LARGEST = 1e9  # pixels, frames or seconds of a video
_QUANTISER_STEPS = 6.0  # by which the quantiser may; 6 double the step in H.264

# What is compared: attribute -> what a sentence calls it.
_SIZES = {"short_side": "shorter side of the frame", "face_side": "side of the face"}


@dataclass(frozen=True)
class VideoProfile:
    """What one video is like.

    Attributes
    ----------
    width, height : int
        Pixels.
    n_frames : int
    seconds : float
        NaN where the video has no clock.
    codec : str or None
        FFmpeg's name; None for arrays and folders of images.
    quantiser : float
        As `base_models.video.quality.estimate_qp` gives it; NaN where unknown.
    face_side : float
        Side of the followed face's box in pixels; NaN where no face view is at hand.
    cut_short : str
        How it is known that the file is not whole; empty where nothing says so.
    rarely : str
        That few of the frames show a face; empty where many do, or nothing is known.
    reason : str
        Why nothing of that is known, where the video cannot be measured.
    is_array : bool
        Whether somebody chose its frames, whose number then tells nothing.
    """

    width: int
    height: int
    n_frames: int
    seconds: float
    codec: str | None
    quantiser: float
    face_side: float
    cut_short: str = ""
    rarely: str = ""
    reason: str = ""
    is_array: bool = False

    @property
    def short_side(self) -> Any:
        """Pixels of the shorter side of the frame."""
        return min(self.width, self.height)


@dataclass(frozen=True)
class TrainingProfile:
    """What the training videos of an ensemble are like.

    Attributes
    ----------
    n_videos : int
        So many were looked at.
    short_side, face_side, quantiser, n_frames, seconds : tuple of float or None
        Least, median and greatest; None where unknown.
    codecs : dict of str to int
        Videos by codec; empty for arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.verdicts.video_profile import profile_video, training_profile
    >>> videos = [np.zeros((4, side, 64, 3), np.uint8) for side in (48, 56)]
    >>> profile = training_profile(videos)
    >>> profile.short_side
    (48.0, 52.0, 56.0)
    >>> profile.unlike(profile_video(np.zeros((4, 360, 640, 3), np.uint8)))
    ['shorter side of the frame 360 pixels, in training 48 to 56']
    """

    n_videos: int
    short_side: tuple | None = None
    face_side: tuple | None = None
    quantiser: tuple | None = None
    n_frames: tuple | None = None
    seconds: tuple | None = None
    codecs: dict | None = None

    def unlike(self, video: VideoProfile) -> list[str]:
        """Say in which way a video differs from those of training, or is not whole.

        Sizes may lie outside by half as much again, quantisers by 6, which double
        H.264's step. Of a file fewer than 8 frames are few where training had half as
        many again of each video. Unknown on either side is no difference.

        Parameters
        ----------
        video : VideoProfile

        Returns
        -------
        list of str
            Empty where the video is alike.
        """
        if video.reason:
            return [f"what it is like cannot be measured: {video.reason}"]
        found = [said for said in (video.cut_short, video.rarely) if said]
        for name, called in _SIZES.items():
            size, known = getattr(video, name), getattr(self, name)
            if known is None or math.isnan(size):
                continue
            if not known[0] / _TIMES <= size <= known[2] * _TIMES:
                found.append(f"{called} {size:.0f} pixels, in training {_range(known)}")
        fewest = math.inf if self.n_frames is None else self.n_frames[0]
        few = not video.is_array and video.n_frames < min(_MANY, fewest / _TIMES)
        if few and self.n_frames is not None:
            frames = f"{video.n_frames} frame{'s' if video.n_frames > 1 else ''}"
            found.append(f"{frames}, in training {_range(self.n_frames)}")
        if video.codec and self.codecs and video.codec not in self.codecs:
            found.append(f"codec {video.codec}, in training {', '.join(self.codecs)}")
        if self.quantiser is not None and not math.isnan(video.quantiser):
            low, _, high = self.quantiser
            if (
                not -_QUANTISER_STEPS
                <= video.quantiser - low
                <= (high - low + _QUANTISER_STEPS)
            ):
                found.append(
                    f"quantiser {video.quantiser:.0f}, in training "
                    f"{_range(self.quantiser)}"
                )
        return found

    def to_dict(self) -> dict[Any, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Any) -> Any:
        """Return what `to_dict` wrote; a ValueError if it is none of its kind."""
        found = cls(**{k: tuple(v) if isinstance(v, list) else v
                       for k, v in known.items()})  # fmt: skip
        for name, value in asdict(found).items():
            right = _is_known[name](value) if name in _is_known else _is_range(value)
            if not right:
                raise ValueError(f"the training videos' {name} are {value!r}")
        return found

    @property
    def sentence(self) -> Any:
        """What the videos are like, in a few words."""
        parts = []
        for name, called in _SIZES.items():
            if getattr(self, name) is not None:
                parts.append(f"{called} {_range(getattr(self, name))} pixels")
        if self.codecs:
            parts.append(f"codec {', '.join(self.codecs)}")
        if self.quantiser is not None:
            parts.append(f"quantiser {_range(self.quantiser)}")
        if self.seconds is not None:
            parts.append(f"{_range(self.seconds, '.1f')} seconds")
        elif self.n_frames is not None:
            parts.append(f"{_range(self.n_frames)} frames")
        return ", ".join(parts)


def _is_range(value):
    return value is None or (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(number, (int, float)) for number in value)
        and all(abs(number) < _LARGEST for number in value)
    )


_is_known = {
    "n_videos": lambda value: isinstance(value, int),
    "codecs": lambda value: (
        value is None
        or (isinstance(value, dict) and all(isinstance(n, int) for n in value.values()))
    ),
}


def profile_video(
    video: str | Path | np.ndarray,
    detectors: Sequence[Any] | np.ndarray = (),
    store: Store | str | Path | None = None,
) -> VideoProfile | None:
    """Say what a video is like, without looking for faces.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    detectors : sequence of fitted detectors, default=()
        Of those that look at faces, the face is known where their views are in the
        store.
    store : Store, str, Path or None, default=None

    Returns
    -------
    VideoProfile or None
        None for what is no video.
    """
    from base_models.store.store import resolve_store

    return _profile(video, None, _recipes(detectors), resolve_store(store))


def profile_videos(
    videos: Videos, detectors: Any = (), store: Any = None
) -> list[VideoProfile | None]:
    """Say what each of several videos is like; on a cluster workers open the files.

    Parameters
    ----------
    videos : sequence
        One that stands there several times is opened once.
    detectors, store
        As for `profile_video`.

    Returns
    -------
    list of (VideoProfile or None)
    """
    from base_models.runtime.parallel import runs_elsewhere
    from base_models.runtime.scheduling import run_each
    from base_models.store.store import resolve_store
    from base_models.video.hashing import work_of
    from base_models.video.paths import findable, known_digests

    different = list({id(video): video for video in videos}.values())
    shared = _recipes(detectors), resolve_store(store)
    there = [video for video in different if isinstance(video, (str, os.PathLike))]
    if len(there) < 2 or not runs_elsewhere():
        there = []
    tasks = list(zip(findable(there), known_digests(there), strict=True))
    came = run_each(_profile, tasks, work_of(there), None, shared, _unknown)
    known = {id(there[number]): profile for number, profile in came}
    for video in different:
        if id(video) not in known:
            known[id(video)] = _profile(video, None, *shared)
    return [known[id(video)] for video in videos]


def _unknown(task, reason):
    """Return the profile of a video that ends workers."""
    from base_models.runtime.clusters.given_up import give_up_video

    give_up_video(task[0], reason)
    return _unmeasured(reason)


def _unmeasured(reason):
    return VideoProfile(0, 0, 0, math.nan, None, math.nan, math.nan, reason=reason)


def _recipes(detectors):
    return [r for d in detectors for r in getattr(d, "view_recipes", list)()]


def _profile(video, known, recipes, store):
    from base_models.errors import VideoReadError
    from base_models.video.bounds.budget import one_reading
    from base_models.video.hashing import left_alone
    from base_models.video.paths import hashed_once
    from base_models.video.quality import estimate_qp
    from base_models.video.reading import probe_video
    from base_models.views.making import stored_face
    from ensemble.out_of_fold.training_set import is_video

    if not is_video(video):
        return None
    try:
        with one_reading(video), left_alone(video):
            info = probe_video(video)
            quantiser = estimate_qp(video, n_places=2, n_frames=4)
    except VideoReadError as error:  # which detectors need not have met
        return _unmeasured(error.reason)
    with hashed_once([video], [known]):
        side, rarely = stored_face(video, recipes, store, info.n_frames)
    return VideoProfile(
        width=info.width,
        height=info.height,
        n_frames=info.n_frames,
        seconds=math.nan if info.seconds is None else info.seconds,
        codec=info.codec,
        quantiser=quantiser,
        face_side=side,
        cut_short=info.cut_short,
        rarely=rarely,
        is_array=isinstance(video, np.ndarray),
    )


def training_profile(
    videos: Videos, detectors: Any = (), store: Any = None
) -> TrainingProfile | None:
    """Say what training videos are like; of many, 400 evenly spread are looked at.

    Parameters
    ----------
    videos : sequence
    detectors, store
        As for `profile_video`.

    Returns
    -------
    TrainingProfile or None
        None where none of them is a video that can be read.
    """
    chosen = np.unique(
        np.linspace(0, len(videos) - 1, min(len(videos), _MOST_PROFILED)).round()
    ).astype(int)
    found = profile_videos([videos[row] for row in chosen], detectors, store)
    profiles = [each for each in found if each is not None and not each.reason]
    if not profiles:
        return None
    cut = [each.cut_short for each in profiles if each.cut_short]
    if cut:
        warnings.warn(
            f"{len(cut)} of {len(profiles)} training videos that were looked at are "
            f"not whole; of the first: {cut[0]}. Get them again, or drop them",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )
    codecs = [profile.codec for profile in profiles if profile.codec]
    return TrainingProfile(
        n_videos=len(profiles),
        codecs={codec: codecs.count(codec) for codec in sorted(set(codecs))},
        **{
            name: _spread([getattr(profile, name) for profile in profiles])
            for name in ("short_side", "face_side", "quantiser", "n_frames", "seconds")
        },
    )


def _spread(values):
    values = np.array(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return float(values.min()), float(np.median(values)), float(values.max())


def _range(known, form=".0f"):
    low, high = f"{known[0]:{form}}", f"{known[2]:{form}}"
    return low if low == high else f"{low} to {high}"
