"""Keeps one video's error from ending the work on all the others."""

from __future__ import annotations

import logging
import pickle
import re

from sklearn.exceptions import NotFittedError

from base_models.errors import (
    NoFaceError,
    UnscorableVideoError,
    VideoReadError,
    is_of_the_machine,
)

_log = logging.getLogger(__name__)
_PASSING = re.compile(
    r"allowed|memory|Memory|replaced|another than|ended|no longer answered|"
    r"[a-z]Error\b|No such file|denied|[Tt]imed out|disk|network|Input/output"
)


class Failures:
    """Errors of single videos: each becomes a reason, unless every video has it.

    An error that nobody foresaw (a decoder's, a lack of memory, a bug) may be the
    fault of one odd video, which then has no score and the error for a reason. The same
    error in every video is the fault of the code, and hiding it behind missing scores
    would hide a bug: `check` raises it.

    Examples
    --------
    >>> from base_models.runtime.failures import Failures
    >>> failures = Failures()
    >>> failures.reason(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    >>> failures.note(None)
    >>> failures.check()  # one of two videos failed: no error
    """

    def __init__(self) -> None:
        self._errors, self._any_worked = [], False

    def note(self, error: Exception | None) -> None:
        """Note the error of a video, or that there was none.

        Parameters
        ----------
        error : Exception or None
        """
        if error is None:
            self._any_worked = True
        elif isinstance(error, NotFittedError):
            raise error
        elif not is_foreseen(error):
            self._errors.append(error)

    def reason(self, error: Exception) -> str:
        """Note an error and return what to say of its video.

        Parameters
        ----------
        error : Exception

        Returns
        -------
        str
        """
        self.note(error)
        return reason_of(error)

    def add(self, other: Failures) -> None:
        """Note what another has noted, of other videos.

        Parameters
        ----------
        other : Failures
        """
        self._errors += other._errors
        self._any_worked = self._any_worked or other._any_worked

    def to_send(self) -> Failures:
        """Return what another process needs to know: one error of each kind.

        Returns
        -------
        Failures
            An error that cannot travel is a RuntimeError that says the same.
        """
        short = Failures()
        short._any_worked = self._any_worked
        kinds = {type(error): error for error in reversed(self._errors)}
        short._errors = [that_travels(error) for error in kinds.values()]
        return short

    def check(self) -> None:
        """Raise the error that all videos have in common, where there is one."""
        kinds = {type(error) for error in self._errors}
        if self._any_worked or len(kinds) != 1:
            return
        raise self._errors[0]


def that_travels(error: Exception) -> Exception:
    """Return an error as another process can have it: a RuntimeError if it cannot.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    Exception
    """
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(reason_of(error))
    return error.with_traceback(None)


def is_passing(reason: str) -> bool:
    """Whether a video may have a score the next time, though it stays as it is.

    Parameters
    ----------
    reason : str
        As of `reason_of`: of limits, which others may set otherwise, of time, memory,
        rights and disks, of workers that ended, of what was replaced meanwhile.

    Returns
    -------
    bool

    Examples
    --------
    >>> from base_models.runtime.failures import is_passing
    >>> is_passing("it takes longer than the 2 s allowed"), is_passing("no face")
    (True, False)
    """
    return _PASSING.search(reason) is not None


def is_foreseen(error: Exception) -> bool:
    """Whether an error only says that a video cannot be scored.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    bool
    """
    return isinstance(error, (VideoReadError, NoFaceError, UnscorableVideoError))


def reason_of(error: Exception) -> str:
    """Say in one line why a video has no score.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str
        What the error says; of one that nobody foresaw with its type before it.

    Raises
    ------
    OSError
        The error itself, if it is none of the video but of a machine that opens no more
        files: it ends the work, which goes on when that is mended.

    Examples
    --------
    >>> from base_models import VideoReadError
    >>> from base_models.runtime.failures import reason_of
    >>> reason_of(VideoReadError("clip.mp4", "it is empty"))
    'it is empty'
    >>> reason_of(MemoryError())
    'MemoryError'
    """
    if is_of_the_machine(error):
        raise error
    if is_foreseen(error):
        return getattr(error, "reason", None) or str(error)
    _log.debug("an error that was not foreseen", exc_info=error)
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
