"""Videos and stores named by an address: which those are, and what may be shown."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.,-]+:")  # a drive has a single letter
_OF_FSSPEC = re.compile(r"([a-z][a-z0-9+.-]+)(://?|::)")  # pathlib takes a slash away
_IN_A_TEXT = re.compile(
    r"\b(?:[A-Za-z][A-Za-z0-9+.-]+:/|(?:https?|s3a?|gcs?|gs|ftp):)/[^\s'\"<>]+"
)
# Parts of a query that grant access. Of those signed a new signature may be made for
# the same file, so neither do they say which file it is.
_SIGNED = re.compile(
    r"x-(amz|goog|ms|oss|cos)-.*|signature|expires|awsaccesskeyid|googleaccessid|"
    r"policy|key-pair-id|sig|se|sp|sv|sr|st|spr|ss|srt|skoid|sktid|skt|ske|sks|skv",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r".*(token|secret|passw|signature|credential|apikey|api[_-]key|auth|session|hmac|"
    r"jwt).*|pwd|pw|pass|key|sign|hdnts|hdnea|code|policy",
    re.IGNORECASE,
)


def is_address(path: str | os.PathLike) -> bool:
    """Whether a path is written like an address of the web, such as http://...

    Examples
    --------
    >>> from base_models.addresses import is_address
    >>> is_address("https://example.org/a.mp4"), is_address("C:/a.mp4")
    (True, False)
    """
    return _ADDRESS.match(str(path)) is not None


def remote_address(thing: Any) -> str | None:
    """Return the address that a text or a path is, for fsspec; None of other things.

    Parameters
    ----------
    thing : object
        ``Path("s3://bucket/a.mp4")`` is understood, which has lost a slash.

    Returns
    -------
    str or None
        None also for files on this machine: see `local_path`.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from base_models.addresses import remote_address
    >>> remote_address(PurePosixPath("s3://bucket/a.mp4"))
    's3://bucket/a.mp4'
    >>> remote_address("a.mp4"), remote_address("file:///a.mp4")
    (None, None)
    """
    if not isinstance(thing, (str, os.PathLike)):
        return None
    text = os.fspath(thing)
    found = _OF_FSSPEC.match(text) if isinstance(text, str) else None
    if found is None or found[1] == "file" or os.path.exists(text):
        return None
    if found[2] == ":/":
        return f"{found[1]}://{text[found.end() :]}"
    return text


def local_path(text: str) -> str:
    """Return the path that ``file://...`` stands for; any other text as it is.

    Examples
    --------
    >>> from base_models.addresses import local_path
    >>> local_path("file:///videos/a%20b.mp4"), local_path("a.mp4")
    ('/videos/a b.mp4', 'a.mp4')
    """
    if re.match("file:/", text) and not os.path.exists(text):
        return url2pathname(urlsplit(text).path)
    return text


def public_name(text: Any) -> str:
    """Return an address without user, password, signature and tokens.

    Parameters
    ----------
    text : str or Path
        An address, or a text in which there may be some.

    Returns
    -------
    str
        What is no address stays as it is.

    Examples
    --------
    >>> from base_models.addresses import public_name
    >>> public_name("https://ann:pw@host/a.mp4?take=2&X-Amz-Signature=0a1b")
    'https://host/a.mp4?take=2'
    """
    text = str(text)
    if ":/" not in text:
        return text
    return _IN_A_TEXT.sub(lambda found: _without(found[0], secrets=True), text)


def content_name(address: str) -> str:
    """Return what of an address says which file it is, for digests and never to show.

    Parameters
    ----------
    address : str

    Returns
    -------
    str
        Without user and signature; what might as well choose the file is kept.
    """
    return _without(address, secrets=False)


def _without(address, secrets):
    parts = address.split("::")  # such as zip://a.mp4::https://...
    return "::".join(_one_without(p, secrets) if ":/" in p else p for p in parts)


def _one_without(address, secrets):
    address = re.sub(":/+", "://", address, count=1)
    try:
        scheme, place, path, query, fragment = urlsplit(address)
    except ValueError:  # what is no address at all: nothing of it that may be secret
        return re.sub(r"://[^/]*@", "://", re.split("[?#]", address)[0])
    kept = [part for part in re.split("[&;]", query) if not _is_left(part, secrets)]
    fragment = "" if scheme in ("http", "https") else fragment
    place = place.rpartition("@")[2]
    return urlunsplit((scheme, place, path, "&".join(kept), fragment))


def _is_left(part, secrets):
    name, _, value = part.partition("=")
    if _SIGNED.fullmatch(name) or not part:
        return True
    is_file = re.search(r"\.[A-Za-z][A-Za-z0-9]{1,3}$", value)  # as in ?key=a.mp4
    return bool(secrets and not is_file and _SECRET.fullmatch(name))


def ending(address: str) -> str:
    """Return the ending of the file that an address names, in small letters.

    Examples
    --------
    >>> from base_models.addresses import ending
    >>> ending("https://host/a.MP4?take=2")
    '.mp4'
    """
    path = re.split("[?#]" if address.startswith("http") else "[?]", address)[0]
    return os.path.splitext(path.split("::")[0])[1].lower()


def file_name(thing: str | os.PathLike) -> str:
    """Return a path, or an address without secrets and query: it ends in a file name.

    Examples
    --------
    >>> from base_models.addresses import file_name
    >>> file_name("https://ann:pw@host/a.mp4?sig=1"), file_name("clips/a.mp4")
    ('https://host/a.mp4', 'clips/a.mp4')
    """
    address = remote_address(thing)
    return os.fspath(thing) if address is None else public_name(address).split("?")[0]


def printable(name: str) -> str:
    """Return a file name as text that any program can write and read.

    Parameters
    ----------
    name : str
        Bytes of it that are no UTF-8 are surrogates, as Python gives them.

    Returns
    -------
    str
        The same, with a surrogate as the six characters of its escape.

    Examples
    --------
    >>> print(printable(b"caf\\xe9.mp4".decode("utf-8", "surrogateescape")))
    caf\\udce9.mp4
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
