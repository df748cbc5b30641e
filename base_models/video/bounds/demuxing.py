"""Gives the packets of a file, and refuses one whose streams are not all known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from base_models.errors import VideoReadError


def demuxed(path: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream.

    Parameters
    ----------
    path : str, Path or RemoteVideo
        What an error names.
    container : av InputContainer
    stream : av VideoStream

    Raises
    ------
    VideoReadError
        If another stream begins within the file, as in a transport stream with several
        programs, or of several recordings: PyAV knows those alone that were there at
        the beginning.
    """
    try:
        yield from container.demux(stream)
    except IndexError as error:
        raise VideoReadError(
            path,
            "another stream begins within it: it holds several programs or recordings",
            "save the one that matters as a file of its own",
        ) from error
