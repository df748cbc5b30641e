"""Errors that callers act on, kept apart from what needs torch, dlib or OpenCV."""

from __future__ import annotations

from pathlib import Path

from base_models.addresses import public_name


class UnscorableVideoError(ValueError):
    """A verdict was asked for a video that no detector could score.

    Parameters
    ----------
    videos : dict of str to str
        Video id -> why it has no score.

    Attributes
    ----------
    videos : dict of str to str
        As given.

    Examples
    --------
    >>> from base_models import UnscorableVideoError
    >>> print(UnscorableVideoError({"clip_017.mp4": "no face found"}))
    no score for 1 video: clip_017.mp4 (no face found); drop it, or ask for
    predict_proba, which gives it NaN; an ensemble with unscorable='prior' gives it
    the share of fakes in training
    """

    def __init__(self, videos: dict[str, str]) -> None:
        self.videos = dict(videos)
        shown = [f"{video} ({reason})" for video, reason in self.videos.items()]
        what, them = (
            ("1 video", "it")
            if len(shown) == 1
            else (
                f"{len(shown)} videos",
                "them",
            )
        )
        super().__init__(
            f"no score for {what}: {'; '.join(shown[:5])}"
            f"{'; ...' if len(shown) > 5 else ''}; drop {them}, or ask for "
            f"predict_proba, which gives {them} NaN; an ensemble with "
            f"unscorable='prior' gives {them} the share of fakes in training"
        )

    def __reduce__(self):
        return type(self), (self.videos,)


class VideoReadError(OSError):
    """A video could not be read.

    Parameters
    ----------
    video : str or Path
        The path, or the id of an array, as `video_id` gives it. Of an address what
        grants access is left out.
    reason : str
        What is wrong with it.
    advice : str, optional
        What to do about it.

    Attributes
    ----------
    video : str
    reason : str
    advice : str

    Examples
    --------
    >>> from base_models import VideoReadError
    >>> print(VideoReadError("clip_017.mp4", "it is empty", "drop it"))
    cannot read video clip_017.mp4: it is empty; drop it
    """

    def __init__(
        self,
        video: str | Path,
        reason: str,
        advice: str | None = "re-encode it or drop the video",
    ) -> None:
        self.video, self.advice = public_name(video), advice
        self.reason = public_name(str(reason).replace(str(video), self.video))
        super().__init__(f"cannot read video {self.video}: {self.reason}; {advice}")

    def __reduce__(self):
        return type(self), (self.video, self.reason, self.advice)


class CheckpointError(ValueError):
    """A file of weights cannot be read, or does not fit its network.

    Examples
    --------
    >>> from base_models import CheckpointError
    >>> raise CheckpointError("weights.pth: no key fits resnet18")
    Traceback (most recent call last):
    base_models.errors.CheckpointError: weights.pth: no key fits resnet18
    """


class UnknownNetworkError(CheckpointError):
    """Neither a file of weights nor its name says which network it is of, or of what.

    Examples
    --------
    >>> from base_models.errors import UnknownNetworkError
    >>> raise UnknownNetworkError("mine.pth: give scope='frame' or scope='face'")
    Traceback (most recent call last):
    base_models.errors.UnknownNetworkError: mine.pth: give scope='frame' or scope='face'
    """


class DivergedError(FloatingPointError):
    """A training whose loss or weights stopped being finite numbers.

    Examples
    --------
    >>> from base_models import DivergedError
    >>> raise DivergedError("resnet18_face: the loss became nan in epoch 2")
    Traceback (most recent call last):
    base_models.errors.DivergedError: resnet18_face: the loss became nan in epoch 2
    """


class SlowFitWarning(UserWarning):
    """A fit that starts now will take long; the message says how long."""


class NoFaceError(ValueError):
    """No face was found in a video.

    Parameters
    ----------
    video : str or Path
        The video's name.
    n_frames : int
        Frames in which one was looked for.

    Attributes
    ----------
    video : str
    n_frames : int

    Examples
    --------
    >>> print(NoFaceError("clip_017.mp4", 64))
    no face found in clip_017.mp4 (64 frames tried); lower min_face or drop the video
    """

    def __init__(self, video: str | Path, n_frames: int) -> None:
        self.video, self.n_frames = public_name(video), n_frames
        super().__init__(
            f"no face found in {self.video} ({n_frames} frames tried); lower min_face "
            "or drop the video"
        )

    def __reduce__(self):
        return type(self), (self.video, self.n_frames)
