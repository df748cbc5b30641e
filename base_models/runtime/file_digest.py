"""SHA-256 of files, each read once: here, or by whoever says what it found."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.runtime.caches import Cache
from base_models.runtime.prefetch import check_wanted

# A fit looks at all of its videos again and again: those of a large data set fit in.
_known = Cache(f"{__name__}.known", maxsize=2**18)
_too_long = Cache(f"{__name__}.too_long", maxsize=2**10)  # file -> seconds it had
_held: ContextVar[dict | None] = ContextVar("held", default=None)
# By name: where it leads, and the stamp of what lies there.
_begun: ContextVar[dict[str, tuple] | None] = ContextVar("begun", default=None)
REPLACED = "it was replaced while it was looked at"
LEAVE_IT = "leave it as it is, and look at it again"
SINCE_REPLACED = "it is another than the one that was looked at"
LOOK_AGAIN = "look at it again"


class KnownDigest(NamedTuple):
    """The digest of a file or folder, and what it looked like when it was read."""

    stamp: Hashable
    digest: str


def json_digest(content: Any) -> str:
    """Return the SHA-256 of what JSON says, however it is laid out.

    Parameters
    ----------
    content : dict, list, str, float, bool or None

    Examples
    --------
    >>> from base_models.runtime.file_digest import json_digest
    >>> json_digest({"a": 1, "b": [2]}) == json_digest({"b": (2,), "a": 1})
    True
    """
    plain = json.loads(json.dumps(content))  # whose keys are texts
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def strict_json(text: str | bytes) -> Any:
    """Read JSON in which nothing is said twice: readers differ in what they take.

    Raises
    ------
    ValueError
        If it is no JSON, or an object has a key twice.

    Examples
    --------
    >>> from base_models.runtime.file_digest import strict_json
    >>> strict_json('{"threshold": null, "threshold": 0.99}')
    Traceback (most recent call last):
    ValueError: it says 'threshold' twice
    """
    return json.loads(text, object_pairs_hook=_said_once)


def _said_once(pairs):
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it says {name[:50]!r} twice")
        found[name] = value
    return found


@contextmanager
def held_contents() -> Iterator[None]:
    """Inside of the block a file is what it was when its digest was first asked for.

    A label, or what is kept under a digest, is of that content: of another one that
    has come to its place since, no digest is told. Threads of `look_ahead` know of the
    block; one inside of another is the same.

    Raises
    ------
    VideoReadError
        By whoever asks for the digest of a file that was replaced.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from base_models.runtime.file_digest import file_sha256, held_contents
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.mp4")
    >>> with held_contents():
    ...     for text in ("real", "forged"):
    ...         _ = path.write_text(text)
    ...         try:
    ...             print(file_sha256(path)[:8])
    ...         except OSError as error:
    ...             print(error.reason)
    aa33996d
    it was replaced while it was looked at
    """
    held = _held.get()
    token = _held.set({} if held is None else held)
    try:
        yield
    finally:
        _held.reset(token)


@contextmanager
def same_file(
    path: str | os.PathLike | None = None, begun: Sequence[str] | None = None
) -> Iterator[None]:
    """Inside of the block a name leads to the file that it led to at first.

    What was hashed and what is decoded are one file then, though its name, or that of a
    folder above it, be turned to another one between and back. A block inside of
    another is the same.

    Parameters
    ----------
    path : str, Path or None, default=None
    begun : sequence of str or None, default=None
        What `begun_as` said of it, in the process that had it read here.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from base_models.runtime.file_digest import check_same_file, same_file
    >>> place = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("real", "fake"):
    ...     _ = (place / name).write_text(name)
    >>> (place / "link").symlink_to("real")
    >>> with same_file():
    ...     check_same_file(place / "link")
    ...     (place / "link").unlink()
    ...     (place / "link").symlink_to("fake")
    ...     try:
    ...         check_same_file(place / "link")
    ...     except OSError as error:
    ...         print(error.reason)
    it was replaced while it was looked at
    """
    known = _begun.get()
    token = _begun.set({} if known is None else known)
    try:
        if path is not None and begun is not None:
            (_begun.get() or {})[os.fspath(path)] = tuple(begun)
        yield
    finally:
        _begun.reset(token)


def check_same_file(path: str | os.PathLike) -> None:
    """Refuse a file that a name did not lead to when a block of `same_file` began.

    Raises
    ------
    VideoReadError
    """
    known = _begun.get()
    if known is None:
        return
    now = os.path.realpath(path), content_stamp(path)
    if known.setdefault(os.fspath(path), now) != now:
        raise VideoReadError(os.fspath(path), REPLACED, LEAVE_IT)


def begun_as(path: str | os.PathLike) -> tuple[str, str] | None:
    """Return what a name leads to in a block of `same_file`; None outside of one."""
    if _begun.get() is None:
        return None
    check_same_file(path)
    return (_begun.get() or {})[os.fspath(path)]


def place_of(path: str | os.PathLike) -> str:
    """Return where a name leads, or led when a block of `same_file` began."""
    begun = begun_as(path)
    return os.path.realpath(path) if begun is None else begun[0]


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content.

    Parameters
    ----------
    path : str or Path
        It is read again only when it was written to or replaced.

    Returns
    -------
    str
        Hexadecimal.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    place = place_of(path)  # once: a link may be turned meanwhile
    digest = digest_once(place, content_stamp(place), lambda: read_sha256(place))
    check_same_file(path)
    return digest


def file_stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Return size in bytes and time of change (ns) of a file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def folder_stamp(folder: str | os.PathLike) -> str:
    """Return what stands for names, sizes and times of change of a folder's files."""
    with os.scandir(folder) as entries:
        lines = [f"{e.name} {file_stamp(e)}\n" for e in entries if e.is_file()]
    text = "".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def content_stamp(path: str | os.PathLike) -> str:
    """Return what changes with a file's or a folder's content, in this place.

    Also where size and time of change were set back: it is of which file it is, and of
    when its entry changed, which nobody sets. Of a folder each file counts.

    Examples
    --------
    >>> import os, pathlib, tempfile
    >>> from base_models.runtime.file_digest import content_stamp
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.mp4")
    >>> stamps = []
    >>> for text in ("real", "fake"):
    ...     _ = path.with_suffix(".new").write_text(text)
    ...     os.utime(path.with_suffix(".new"), (0, 0))
    ...     _ = path.with_suffix(".new").replace(path)
    ...     stamps.append(content_stamp(path))
    >>> stamps[0] == stamps[1]
    False
    """
    seen: tuple[Any, ...]
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            inside = sorted((e.name, *_never_set_back(_status(e))) for e in entries)
        seen = folder_stamp(path), inside, _never_set_back(os.stat(path))
    else:
        seen = file_stamp(path), *_never_set_back(os.stat(path))
    text = repr(seen).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _status(entry):
    with suppress(OSError):  # of a link that leads nowhere
        return entry.stat()
    return entry.stat(follow_symlinks=False)


def _never_set_back(status):
    return status.st_ino, status.st_ctime_ns


def digest_once(
    path: str | os.PathLike, stamp: Hashable, compute: Callable[[], str]
) -> str:
    """Return the digest of a path that has this stamp: computed, if it is not known.

    Parameters
    ----------
    path : str or Path
    stamp : hashable
        Changes when the content does.
    compute : callable
        Reads the content and returns its digest.

    Examples
    --------
    >>> from base_models.runtime.file_digest import digest_once
    >>> for version, content in [(1, "abc"), (1, "not read"), (2, "def")]:
    ...     print(digest_once("/example/of/digests", version, lambda: content))
    abc
    abc
    def
    """
    place = os.path.realpath(path)
    known = _known.get(place)
    if known is None or known.stamp != stamp:
        known = _known[place] = KnownDigest(stamp, compute())
    held = _held.get()
    if held is not None and held.setdefault(place, known).digest != known.digest:
        raise VideoReadError(os.fspath(path), REPLACED, LEAVE_IT)
    return str(known.digest)


def known_digest(path: str | os.PathLike) -> KnownDigest | None:
    """Return what is known of a path, to be sent to whoever will ask for it.

    In a block of `held_contents` that is what the file was when it began.
    """
    place = os.path.realpath(path)
    known: KnownDigest | None = (_held.get() or {}).get(place) or _known.get(place)
    return known


def latest_digest(path: str | os.PathLike) -> KnownDigest | None:
    """Return what a path was when its digest was last asked for, within a block too."""
    begun = (_begun.get() or {}).get(os.fspath(path))
    return _known.get(begun[0] if begun else os.path.realpath(path))


def learn_digest(path: str | os.PathLike, known: Any) -> None:
    """Take over what another process knows; it holds while the stamp is the same."""
    place = os.path.realpath(path)
    _known[place] = digest = KnownDigest(*known)
    if (held := _held.get()) is not None:
        held.setdefault(place, digest)


def read_sha256(path: str | os.PathLike) -> str:
    """Read a file and return its SHA-256.

    Raises
    ------
    VideoReadError
        If that takes longer than one look at a video may: a file with holes can be of
        any size, and takes no room on the disk. It is not begun again in this process.
    """
    begun, allowed = time.monotonic(), current_limits().video_seconds
    digest = hashlib.sha256()
    check_same_file(path)
    with open(path, "rb") as file:
        place = os.path.realpath(path), file_stamp(path)
        if _too_long.get(place, 0) >= allowed:
            raise _takes_too_long(path, place, allowed)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            check_wanted()
            if time.monotonic() - begun > allowed:
                _too_long[place] = allowed
                raise _takes_too_long(path, place, allowed)
    check_same_file(path)
    return digest.hexdigest()


def _takes_too_long(path, place, allowed):
    return VideoReadError(
        os.fspath(path),
        f"it has {place[1][0]:,} bytes, and reading them takes longer than the "
        f"{allowed:g} s allowed",
        "if it is worth that, allow more in a block of "
        f"base_models.reading_limits(video_seconds={10 * allowed:g})",
    )
