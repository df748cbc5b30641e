"""Errors that callers act on, kept apart from what needs torch, dlib or OpenCV."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from base_models.addresses import public_name


class UnscorableVideoError(ValueError):
    """A verdict was asked for a video that no detector could score.

    Also raised where a detector is fitted, and without such videos none of a class is
    left.

    Parameters
    ----------
    videos : dict of str to str
        Video id -> why it has no score.
    in_training : bool, default=False
        Whether a detector was to learn from them.

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
    >>> print(UnscorableVideoError({"clip_017.mp4": "no face found"}, in_training=True))
    no video of one class is left to learn from without 1 video that has no view:
    clip_017.mp4 (no face found); replace it, or give more videos
    """

    def __init__(self, videos: dict[str, str], in_training: bool = False) -> None:
        self.videos, self.in_training = dict(videos), in_training
        shown = [f"{video} ({reason})" for video, reason in self.videos.items()]
        is_one = len(shown) == 1
        what = "1 video" if is_one else f"{len(shown)} videos"
        them = "it" if is_one else "them"
        listed = f"{'; '.join(shown[:5])}{'; ...' if len(shown) > 5 else ''}"
        if in_training:
            super().__init__(
                f"no video of one class is left to learn from without {what} that "
                f"{'has' if is_one else 'have'} no view: {listed}; replace {them}, or "
                "give more videos"
            )
            return
        super().__init__(
            f"no score for {what}: {listed}; drop {them}, or ask for predict_proba, "
            f"which gives {them} NaN; an ensemble with unscorable='prior' gives "
            f"{them} the share of fakes in training"
        )

    def __reduce__(self):
        return type(self), (self.videos, self.in_training)


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


class ArtifactError(CheckpointError):
    """A file that this library wrote cannot be used: it is damaged, forged or newer.

    Saved models (``.dfe``) above all. Until there was this class they raised a
    `CheckpointError`, which it still is: whoever catches that one goes on as before.

    Examples
    --------
    >>> from base_models import ArtifactError, CheckpointError
    >>> issubclass(ArtifactError, CheckpointError)
    True
    >>> raise ArtifactError("model.dfe is damaged: a part is not what was saved")
    Traceback (most recent call last):
    base_models.errors.ArtifactError: model.dfe is damaged: a part is not what was saved
    """


class ScoreTableError(ValueError):
    """A table cannot be read: of scores, of videos and labels, or a list of a data set.

    CSV, Excel, parquet and JSON alike. A file that is not there, or may not be opened,
    is an `OSError` as everywhere in Python.

    Examples
    --------
    >>> from base_models import ScoreTableError
    >>> raise ScoreTableError("scores.csv, line 3: expected 4 fields; got 2")
    Traceback (most recent call last):
    base_models.errors.ScoreTableError: scores.csv, line 3: expected 4 fields; got 2
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


class DeepfakeEnsembleWarning(UserWarning):
    """Whatever this library warns of: filter it by this class, and no other library.

    Examples
    --------
    >>> import warnings
    >>> from base_models import DeepfakeEnsembleWarning
    >>> warnings.simplefilter("once", DeepfakeEnsembleWarning)
    """


class SlowFitWarning(DeepfakeEnsembleWarning):
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


_LONGEST = 2000  # characters of a message; a file may have names of megabytes
_NOT_ITS_CONTENT = (FileNotFoundError, PermissionError, IsADirectoryError)
_NOT_ITS_CONTENT += (NotADirectoryError, VideoReadError)


@contextmanager
def refusing(
    kind: type[CheckpointError] | type[ScoreTableError],
    path: str | Path,
    part: str = "it",
    advice: str = "it is damaged or of another kind; get it again",
    plain: bool = False,
) -> Iterator[None]:
    """Turn whatever a damaged or hostile file raises while it is read into one error.

    It stands at the door of each reader, so that what lies behind needs no care of its
    own for what libraries raise.

    Parameters
    ----------
    kind : class
        Of the error: `CheckpointError`, `ArtifactError` or `ScoreTableError`.
    path : str or Path
        The file. An error of this kind that does not name it gets its name.
    part : str, default="it"
        Of the file, in words: "its combiner".
    advice : str
        What may be wrong, and what to do.
    plain : bool, default=False
        Whether a ValueError is one of our own, which says all but the file's name.

    Raises
    ------
    CheckpointError, ArtifactError or ScoreTableError
        Not in the place of an error that speaks of no content: a file that is not
        there or may not be opened, a package that is not installed.

    Examples
    --------
    >>> from base_models.errors import ArtifactError, refusing
    >>> with refusing(ArtifactError, "card.json", "its margin"):
    ...     {}["margin"]
    Traceback (most recent call last):
    base_models.errors.ArtifactError: card.json: its margin cannot be read (KeyError: \
'margin'); it is damaged or of another kind; get it again
    """
    try:
        yield
    except _NOT_ITS_CONTENT:
        raise
    except Exception as error:
        if isinstance(error, ImportError) and not isinstance(
            error, ModuleNotFoundError
        ):
            raise  # an extra is missing, and the message says which
        name, text = public_name(path), str(error)
        is_ours = isinstance(error, (CheckpointError, ScoreTableError)) or (
            plain and type(error) is ValueError
        )
        if isinstance(error, kind) and name in text and len(text) <= _LONGEST:
            raise
        if not is_ours:
            text = (
                f"{name}: {part} cannot be read ({public_name(said(error))}); {advice}"
            )
        elif name not in text:
            text = f"{name}: {text}"
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]} ..."
        raise (type(error) if isinstance(error, kind) else kind)(text) from error


def said(error: BaseException) -> str:
    """Return what an error says, in one short line.

    Examples
    --------
    >>> from base_models.errors import said
    >>> said(KeyError("a"))
    "KeyError: 'a'"
    """
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error says that too many files are open: no file is at fault.

    It ends the work, which can go on later. As the reason of a video it would stay with
    it, and mean nothing.

    Examples
    --------
    >>> import errno
    >>> from base_models.errors import is_of_the_machine
    >>> is_of_the_machine(OSError(errno.EMFILE, "Too many open files"))
    True
    >>> is_of_the_machine(OSError(errno.EACCES, "Permission denied"))
    False
    """
    number = getattr(error, "errno", None)
    return number in (errno.EMFILE, errno.ENFILE)
