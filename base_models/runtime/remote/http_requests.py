"""Asks HTTP servers for files and parts of them, and distrusts what they answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from base_models.addresses import public_name
from base_models.errors import VideoReadError
from base_models.runtime.remote.filesystems import file_system

CONNECT, SILENCE = 10.0, 30.0  # seconds: for a connection, between two pieces of data
_HEAD = 60.0  # seconds for the head of an answer, that of redirects included
_MOST = 180.0  # seconds for one part of a file
_SLOWEST = 1024  # bytes a second that a whole file must come with
_PAUSES = (0.3, 1.0)  # seconds before the second and the third try
_TRIES = 3
_PASSING = {408, 429, 500, 502, 503, 504}  # answers that another try may change
_SETTLED = (
    60.0  # seconds after which a time of change stands for one content (RFC 9110)
)
_CHUNK = 2**20


def stated(address: str) -> tuple[int | None, str | None, bool, bool]:
    """Ask a server for size and version of a file, and whether it gives parts of it.

    One byte is asked for, since addresses that are signed for reading refuse to be
    asked about in any other way.

    Parameters
    ----------
    address : str

    Returns
    -------
    size : int or None
    version : str or None
        None where what the server says would not change with every new content.
    in_parts : bool
    of_content : bool
        Whether equal versions mean equal content: the tags of a bucket, which are MD5.

    Raises
    ------
    VideoReadError
    """
    headers = {"Range": "bytes=0-0"}
    status, answer, _ = _run(address, headers, _read_first, (200, 206, 416))
    length = answer.get("Content-Length")
    if status == 200:
        size = int(length) if length and length.isdigit() else None
        return size, *_version(answer, False)
    found = re.fullmatch(r"bytes (?:0-0|\*)/(\d+)", answer.get("Content-Range", ""))
    if status == 416:
        if found and not int(found[1]):
            return 0, *_version(answer, False)
        raise _wrong(address, "it refuses to give the first byte (416)")
    if not found:
        return None, *_version(answer, False)
    return int(found[1]), *_version(answer, True)


def read_part(
    address: str, start: int, end: int, size: int, version: str | None
) -> bytes:
    """Read bytes of a file from `start` to before `end`, of the version that is known.

    Parameters
    ----------
    address : str
    start, end, size : int
    version : str or None
        As `stated` gives them.

    Returns
    -------
    bytes
        All of them.
    """
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if version and version.startswith("etag "):
        headers["If-Match"] = version.removeprefix("etag ")

    async def read(response):
        return await asyncio.wait_for(_all_of(response, end - start), _MOST)

    status, answer, content = _run(address, headers, read, (200, 206, 412, 416))
    if status == 412 or _is_another(answer, version):
        raise VideoReadError(
            public_name(address), "it was changed while it was read", "try again"
        )
    if answer.get("Content-Range") != f"bytes {start}-{end - 1}/{size}":
        raise _wrong(address, f"asked for a part of it, it answers {status}")
    return content


def read_all(
    address: str, write: Callable[[bytes], Any], size: int | None, version: str | None
) -> None:
    """Read a whole file, handing on piece by piece.

    Parameters
    ----------
    address : str
    write : callable
    size : int or None
    version : str or None
        As `stated` gives them.
    """
    headers = {}
    if version and version.startswith("etag "):
        headers["If-Match"] = version.removeprefix("etag ")

    async def read(response):
        start, n_bytes = time.monotonic(), 0
        async for piece in response.content.iter_chunked(_CHUNK):
            write(piece)
            n_bytes += len(piece)
            seconds = time.monotonic() - start
            if seconds > _MOST / 3 and n_bytes < _SLOWEST * seconds:
                raise TimeoutError
        return n_bytes

    status, answer, n_bytes = _run(address, headers, read, (200, 412), tries=1)
    if status == 412 or _is_another(answer, version):
        raise VideoReadError(
            public_name(address), "it was changed while it was read", "try again"
        )
    if size is not None and n_bytes != size:
        raise _cut_off(address, n_bytes, size)


def _run(address, headers, read, wanted, tries=_TRIES):
    """Send a request, again where that may help; return status, headers, content."""
    from fsspec.asyn import sync

    fs, _ = file_system(address)
    return sync(fs.loop, _tried, fs, address, headers, read, wanted, tries)


async def _tried(fs, address, headers, read, wanted, tries):
    import aiohttp

    # not in aiohttp before 3.10
    redirected = getattr(aiohttp, "RedirectClientError", aiohttp.TooManyRedirects)
    for number in range(tries):
        try:
            status, answer, content = await _sent(fs, address, headers, read, wanted)
            if status not in _PASSING or number == tries - 1:
                return status, _checked(address, status, answer, wanted), content
            error = None
        except (redirected, aiohttp.TooManyRedirects):
            raise _wrong(
                address, "the server leads to another address, and none gives a file"
            ) from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as failed:
            reason = getattr(failed, "strerror", None) or type(failed).__name__
            raise VideoReadError(
                public_name(address),
                f"no connection to the server ({public_name(reason)})",
                "check the address and the network",
            ) from None
        except (TimeoutError, asyncio.TimeoutError):
            raise VideoReadError(
                public_name(address),
                "the server did not answer in time, or too slowly",
                "try again, or download it",
            ) from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as e:
            error = type(e).__name__
        if number < tries - 1:
            await asyncio.sleep(_PAUSES[number])
    raise _cut_off(address, why=error)


async def _sent(fs, address, headers, read, wanted):
    import aiohttp
    import yarl

    session = await fs.set_session()
    limits = aiohttp.ClientTimeout(
        total=None, connect=3 * CONNECT, sock_connect=CONNECT, sock_read=SILENCE
    )
    try:
        url = yarl.URL(address, encoded=re.fullmatch(r"[!-~]+", address) is not None)
        url.raw_user, url.port  # noqa: B018 (looks at them)
    except ValueError:  # which may quote parts of a password
        raise VideoReadError(
            public_name(address),
            "it is written like an address of the web, and its server cannot be read",
            "check it; of user and password write special signs as %XX",
        ) from None
    settings = {name: value for name, value in fs.kwargs.items() if name != "headers"}
    headers = {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity", **headers}
    asked = session.get(url, headers=headers, timeout=limits, **settings)
    async with await asyncio.wait_for(asked, _HEAD) as answer:
        is_wanted = answer.status in wanted and answer.status < 400
        is_file = is_wanted and not _is_page(answer.headers)
        content = await read(answer) if is_file else None
        return answer.status, answer.headers, content


def _checked(address, status, answer, wanted):
    if status in (404, 410):
        raise VideoReadError(
            public_name(address),
            f"there is no such file on the server ({status})",
            "check the address",
        )
    if status in (401, 403, 407):
        raise VideoReadError(
            public_name(address),
            f"the server refuses it ({status})",
            "check credentials, or whether the signature has run out",
        )
    if status not in wanted:
        raise _wrong(address, f"the server answers {status}")
    if status < 400 and _is_page(answer):
        raise VideoReadError(
            public_name(address),
            "the server answers with a web page (HTML) and no file",
            "give the address of the file itself, and log in where it asks for that",
        )
    if answer.get("Content-Encoding", "identity") != "identity":
        raise _wrong(address, "the server compresses what it sends")
    return answer


def _is_page(answer):
    kind = answer.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


async def _read_first(response):
    return b""  # with a server that sends it all the connection is given up here


async def _all_of(response, length):
    if response.status != 206:
        return b""
    return await response.content.readexactly(length)


def _version(answer, in_parts):
    """Return what of an answer stands for one content, or None, and what it is of."""
    etag, changed = answer.get("ETag", ""), answer.get("Last-Modified")
    if re.fullmatch('"[^"]+"', etag):
        is_bucket = "x-amz-request-id" in answer or "x-goog-hash" in answer
        is_md5 = re.fullmatch(r'"[0-9a-f]{32}(-\d+)?"', etag) is not None
        return f"etag {etag}", in_parts, is_bucket and is_md5
    try:
        age = parsedate_to_datetime(answer["Date"]) - parsedate_to_datetime(changed)
        is_settled = age.total_seconds() >= _SETTLED
    except (KeyError, TypeError, ValueError):
        is_settled = False
    return f"modified {changed}" if is_settled else None, in_parts, False


def _is_another(answer, version):
    """Whether an answer is of another version than the one that is read."""
    kind, _, stated = (version or "").partition(" ")
    header = {"etag": "ETag", "modified": "Last-Modified"}.get(kind)
    return header is not None and answer.get(header, stated) != stated


def _wrong(address, reason):
    return VideoReadError(public_name(address), reason, "download it and give the file")


def _cut_off(address, n_bytes=None, size=None, why=None):
    after = "" if n_bytes is None else f" after {n_bytes} of {size} bytes"
    return VideoReadError(
        public_name(address),
        f"the server ended in the middle of it{after}{f' ({why})' if why else ''}",
        "try again, or download it",
    )
