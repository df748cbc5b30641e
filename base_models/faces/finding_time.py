"""Counts the time in which faces of a video are looked for, as time of reading it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.video.bounds.apart import read_no_more
from base_models.video.bounds.budget import Clock, TookTooLong, one_clock

if TYPE_CHECKING:
    from base_models.faces.face import Face, FaceFinder


@contextmanager
def looking_in_time(finder: FaceFinder, video: Any) -> Iterator[FaceFinder]:
    """Give a finder that stops where its video has taken longer than is allowed.

    It is looked at after each frame: a call of the finder is not broken off.

    Parameters
    ----------
    finder : FaceFinder
    video : str, Path or ndarray of shape (T, H, W, 3)
        An array was read by the caller, and has no limit.

    Yields
    ------
    FaceFinder

    Raises
    ------
    VideoReadError
        Within the block; the video is not read again in this process then.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.faces import DlibFaceFinder
    >>> from base_models.faces.finding_time import looking_in_time
    >>> frame = np.zeros((64, 64, 3), np.uint8)
    >>> with looking_in_time(DlibFaceFinder(), "clip.mp4") as finder:
    ...     finder.find(frame), finder.every
    ([], 4)
    """
    if isinstance(video, np.ndarray):
        yield finder
        return
    with one_clock(video) as clock:
        try:
            yield _Timed(finder, clock)
        except TookTooLong:
            read_no_more(video)
            raise


class _Timed:
    """A face finder, and the clock that is looked at after each frame."""

    def __init__(self, finder: FaceFinder, clock: Clock) -> None:
        self._finder, self._clock = finder, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find(self, frame: np.ndarray) -> list[Face]:
        found = self._finder.find(frame)
        self._clock.check()
        return found

    def find_near(self, frame: np.ndarray, faces: list[Face]) -> list[Face] | None:
        found: list[Face] | None = self._finder.find_near(frame, faces)  # type: ignore[attr-defined]
        self._clock.check()
        return found
