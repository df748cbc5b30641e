"""Videos and stores named by an address: which those are, and what may be shown."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit
from urllib.request import url2pathname

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.,-]+:")  # a drive has a single letter
_OF_FSSPEC = re.compile(r"([a-z][a-z0-9+.-]+)(://?|::)")  # pathlib takes a slash away
_SLASH_LOST = re.compile("(^|::|=)([a-z][a-z0-9+.-]+):/(?!/)")
_AS_A_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
_AT_A_PLACE = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,31})?:/{2,}|"
    r"(?<![A-Za-z0-9])(https?|s3a?|gcs?|gs|s?ftp|abfss?|az|adl):/",
    re.IGNORECASE,
)
_MOST_NESTED = 6  # addresses in queries of others, whose cost doubles with each
_NO_PORT = re.compile(r"[^:\[]*:(?!:|\d*([?#].*)?$)", re.DOTALL)  # but a password
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # CONTAINER@ACCOUNT: nothing secret
_OF_USERS = (  # where USER:PASSWORD@ says who asks, and not for what
    "http", "https", "ftp", "ftps", "sftp", "ssh", "smb", "webdav", "webdavs",
    "webhdfs",
)  # fmt: skip
# Parts of a query that grant access, and those that are only signed by one of them.
_SECRET = re.compile(
    r"x-(amz|goog|ms|oss|cos)-.*|awsaccesskeyid|googleaccessid|sig|"
    r".*(token|secret|passw|signature|credential|apikey|api[_-]key|auth|session|hmac|"
    r"jwt|bearer|access[_-]?key).*|.*key|ossaccesskeyid|q-(ak|sign-.*)|pwd|pw|pass|sign|"
    r"hdnts|hdntl|hdnea|code|key-pair-id|md5",
    re.IGNORECASE,
)
_SIGNED_BY = {  # such as ?se=2 of Azure, which chooses an episode on another server
    "sig": [
        "se", "sp", "sv", "sr", "st", "spr", "ss", "srt", "sip", "skoid", "sktid",
        "skt", "ske", "sks", "skv",
    ],
    "signature": ["policy", "expires"],
    "key-pair-id": ["policy", "expires"],
}  # fmt: skip
_IS_FILE = re.compile(  # as in ?key=a.mp4
    r"([^=]*key|code)=.*\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|flv|wmv|gif|png|jpe?g)",
    re.IGNORECASE | re.DOTALL,
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
    if found[2] == ":/" or not isinstance(thing, str):
        return _SLASH_LOST.sub(r"\1\2://", text)
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
        An address, or a text in which there may be some. Any sign may be part of a
        secret: a user ends at the last ``@`` before the next slash, a part of a query
        at the next ``&`` or ``;``, so that of a text more may be missing.

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
    return _public(str(text), 0)


def _public(text, depth):
    if depth > _MOST_NESTED:
        return ""
    shown, rest = "", text
    if (path := _AS_A_PATH.match(rest)) is not None:
        address = f"{path[1]}://{rest[path.end() :]}"
        if (public := _public(address, depth + 1)) != address:
            return public
    while ":/" in rest and (found := _AT_A_PLACE.search(rest)):
        shown, rest = shown + rest[: found.start()], rest[found.end() :]
        scheme = found[1] or found[2] or ""
        if len(scheme) == 1 or scheme.lower() == "file":  # a path
            shown += found[0]
            continue
        shown, rest = f"{shown}{scheme}://", _without_user(scheme.lower(), rest)
        is_web = scheme.lower() in ("http", "https", "")
        query = re.search("[?#]" if is_web else "[?]", rest)
        other = _AT_A_PLACE.search(rest)  # such as zip://a.mp4::https://...
        if query and not (other and other.start() < query.start()):
            path, query = rest[: query.start()], rest[query.start() :]
            query = _public_query(query, is_web, depth)
            return shown + _public_path(path) + query
        if not other:
            return shown + _public_path(rest)
    return shown + rest


def _public_path(path):
    """Return a path without parts such as ;token=... that grant access."""
    return re.sub(
        "[;][^;/=\\s]+=[^;/\\s]*",
        lambda part: "" if _SECRET.fullmatch(_name(part[0])) else part[0],
        path,
    )


def _without_user(scheme, rest):
    while True:
        rest = rest.lstrip("/")
        place = rest.split("/")[0]
        user, found, host = place.rpartition("@")
        is_secret = not (scheme in _CONTAINERS and ":" not in user)
        if found and is_secret and scheme != "github":  # ORG:REPO@BRANCH
            rest = host + rest[len(place) :]
        elif not found and "@" in rest and _NO_PORT.match(place):
            path = rest.split("?")[0]  # no port: a password with a slash
            at = path.rfind("@") if "@" in path else rest.find("@")
            rest = rest[at + 1 :]
        else:
            return rest


def _public_query(query, is_web, depth):
    """Return what of ``?...`` may be shown; a fragment of the web is not sent."""
    query = re.sub("(:/{2,})[^/]*@", r"\1", query)  # of addresses in it
    query = query.partition("#")[0] if is_web else query
    parts = re.findall("[?&;][^&;]*", query)
    names = {_name(part) for part in parts}
    signed = {name for by in names & set(_SIGNED_BY) for name in _SIGNED_BY[by]}
    kept = [
        _public_part(part, depth + 1)
        for part in parts
        if _IS_FILE.fullmatch(part[1:])
        or not (_name(part) in signed or _SECRET.fullmatch(_name(part)))
    ]
    return f"?{''.join(kept)[1:]}" if any(len(part) > 1 for part in kept) else ""


def _name(part):
    """Return the name of a part of a query, which may be encoded, and so its sign."""
    return _decoded(part[1:]).partition("=")[0].strip().lower()


def _decoded(text):
    while (plain := unquote_plus(text)) != text:
        text = plain
    return text


def _public_part(part, depth):
    """Hide what is secret in an address that is part of a query."""
    first, mark, others = part[1:].partition("?")  # of a query that was appended
    part = part[0] + first
    if mark and depth <= _MOST_NESTED:
        part += _public_query(f"?{others}", False, depth)
    plain = _decoded(part)
    public = _public(plain, depth)
    return part if public == plain else part[0] + quote(public[1:], safe="=:/?")


def content_name(address: str) -> str:
    """Return what of an address says which file it is, for digests and never to show.

    Parameters
    ----------
    address : str

    Returns
    -------
    str
        All but the password: any part of a query may choose the file, and so may a
        user's name.

    Examples
    --------
    >>> from base_models.addresses import content_name
    >>> content_name("https://ann:pw@host/a.mp4?st=1")
    'https://ann@host/a.mp4?st=1'
    """
    return "::".join(map(_without_password, address.split("::")))


def _without_password(step):
    found = re.match("([^:/?#]+)://([^/?#:@]*):[^/?#]*@", step)
    if found is None or found[1].lower() not in _OF_USERS:
        return step
    return f"{found[1]}://{found[2]}@{step[found.end() :]}"


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
