"""Opens a file and gives its packets; refuses one that is another by now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.video.remote import check_same


def open_same(
    path: Any,
    file: Any,
    kind: str | None,
    options: dict[str, str],
) -> Any:
    """Open a container; refuse a file that its name did not lead to before.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    file : str or file-like
        What FFmpeg opens of it.
    kind : str or None
        Of FFmpeg's demuxers; None finds it out.
    options : dict of str to str
        Of the demuxer.

    Returns
    -------
    av InputContainer
    """
    check_same(path)
    container = av.open(
        file,
        format=kind,
        options={"max_pixels": str(current_limits().video_pixels)},
        container_options=options,
        metadata_errors="replace",
    )
    try:
        check_same(path)
    except VideoReadError:
        container.close()
        raise
    return container


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
