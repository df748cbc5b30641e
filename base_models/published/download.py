"""Fetches one file over https, within a size, going on where it broke off."""

from __future__ import annotations

import errno
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from base_models.runtime.file_writing import write_text

_CHUNK = 2**18  # bytes
_TRIES = 3
_TIMEOUT = 60.0  # seconds without an answer
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class DownloadError(OSError):
    """A file could not be fetched, or is not what it should be.

    Examples
    --------
    >>> from base_models.published import DownloadError
    >>> raise DownloadError("https://example.org/a.p: cut off after 3 of 5 bytes")
    Traceback (most recent call last):
    base_models.published.download.DownloadError: https://example.org/a.p: cut off \
after 3 of 5 bytes
    """


class _CutOffError(DownloadError):
    """The connection ended before the file did: trying again may help."""


class _HttpsAlone(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and to nothing else."""

    max_redirections = 5

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_https(newurl, f"{req.full_url} redirects to it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_https(url: str, why: str = "") -> None:
    """Refuse an address that is not https.

    Parameters
    ----------
    url : str
    why : str, default=""
        Where it came from, for the message.

    Raises
    ------
    DownloadError
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() != "https" or not parts.hostname:
        raise DownloadError(
            f"{url} is not https" + (f" ({why})" if why else "") + ": on the way "
            "anybody could change what comes; nothing was fetched"
        )


def download(
    url: str,
    path: Path,
    max_bytes: int,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch a file over https; go on where an earlier call broke off.

    Parameters
    ----------
    url : str
        https; redirects are followed to https alone.
    path : Path
        Where to put it. What is there of it so far lies beside it as ``NAME.part``,
        with ``NAME.part.json``, which says what it is part of.
    max_bytes : int
        More is refused: as soon as the server says so, or when it has come.
    progress : callable or None, default=None
        Called with the bytes so far and of the whole, None where unknown.

    Returns
    -------
    Path
        The file; it is there only when it is whole.

    Raises
    ------
    DownloadError
    """
    check_https(url)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(_TRIES):
        try:
            _attempt(url, part, max_bytes, progress)
            break
        except _CutOffError:
            if number == _TRIES - 1:
                raise
    part.replace(path)
    _state(part).unlink(missing_ok=True)
    return path


def _attempt(url, part, max_bytes, progress):
    """Ask for what is missing of a file, and write it behind what is there."""
    request = urllib.request.Request(url, headers={"User-Agent": "deepfake-ensemble"})
    there, tag = _known_part(url, part)
    if there:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", tag)
    opener = urllib.request.build_opener(_HttpsAlone)
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            _receive(url, answer, part, there, max_bytes, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            part.unlink()  # it is of another length by now
            raise _CutOffError(f"{url} changed; run again") from error
        raise DownloadError(
            f"{url}: the publisher answered {error.code} {error.reason}; fetch the "
            "file by hand from its page, and give it as file="
        ) from error
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) in _OF_DISKS:
            raise DownloadError(
                f"{part} cannot be written ({error.strerror}); free some space, and "
                "run again: it goes on where it broke off"
            ) from error
        if part.is_file() and part.stat().st_size > there:
            raise _CutOffError(_cut_off(url, part, None, error)) from error
        raise DownloadError(
            f"{url} cannot be reached ({error}). Without a way to the internet fetch "
            "the file elsewhere, and give it as file="
        ) from error


def _receive(url, answer, part, there, max_bytes, progress):
    begin, total = _range_of(url, answer, there)
    if "text/html" in (answer.headers.get("Content-Type") or ""):
        raise DownloadError(
            f"{url}: the publisher answered with a page and no file, as where a link "
            "has expired or somebody has to confirm; fetch the file by hand from its "
            "page, and give it as file="
        )
    if total is not None and total > max_bytes:
        raise DownloadError(_too_big(url, f"{total}", max_bytes))
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    write_text(_state(part), json.dumps({"url": url, "tag": tag}))
    done = begin
    with open(part, "r+b" if begin else "wb") as file:
        file.seek(begin)
        file.truncate()
        while chunk := answer.read(_CHUNK):
            done += len(chunk)
            if done > max_bytes:
                file.close()
                part.unlink()
                raise DownloadError(_too_big(url, f"more than {max_bytes}", max_bytes))
            file.write(chunk)
            if progress is not None:
                progress(done, total)
    if total is not None and done != total:
        raise _CutOffError(_cut_off(url, part, total))


def _range_of(url, answer, there):
    """Return where an answer begins, and the length of the whole if it is known."""
    length = answer.headers.get("Content-Length")
    if answer.status != http.client.PARTIAL_CONTENT:
        return 0, None if length is None else int(length)
    given = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
    if found is None or int(found[1]) != there:
        raise DownloadError(
            f"{url}: asked for the bytes from {there} on, the publisher sent "
            f"{given or 'others'}; delete the .part file and run again"
        )
    return there, None if found[3] == "*" else int(found[3])


def _known_part(url, part):
    """Return how much of a file is there, and what says that it is still the same."""
    try:
        state = json.loads(_state(part).read_text("utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0, ""
    # A weak tag, or none, does not say that the bytes are the same.
    same = state.get("url") == url and state.get("tag") and state["tag"][:2] != "W/"
    return (size, state["tag"]) if same else (0, "")


def _state(part):
    return part.with_name(part.name + ".json")


def _cut_off(url, part, total, error=None):
    of = "" if total is None else f" of {total}"
    why = "" if error is None else f" ({error})"
    return (
        f"{url}: cut off after {part.stat().st_size}{of} bytes{why}; run again, which "
        "goes on from there"
    )


def _too_big(url, size, max_bytes):
    return (
        f"{url} has {size} bytes, and {max_bytes} are allowed; nothing is kept of it. "
        "If it is meant to be so large, raise max_bytes"
    )
