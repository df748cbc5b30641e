"""Opens file systems of fsspec, and says in plain words what goes wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_models.addresses import public_name
from base_models.errors import VideoReadError

_PACKAGES = {  # protocol: what to install
    "http": "deepfake-ensemble[remote]",
    "https": "deepfake-ensemble[remote]",
    "s3": "deepfake-ensemble[remote]",
    "s3a": "deepfake-ensemble[remote]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
}

_KEEPING = {"simplecache", "filecache", "blockcache", "cached"}


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it.

    Parameters
    ----------
    address : str
        With any protocol of fsspec. Keys, regions and endpoints come from where fsspec
        and its packages look for them: their configuration files and the environment.

    Returns
    -------
    fs : fsspec.AbstractFileSystem
    path : str

    Raises
    ------
    VideoReadError
        If fsspec does not know the protocol, or a package is missing.

    Examples
    --------
    >>> from base_models.runtime.remote.filesystems import file_system
    >>> file_system("memory://videos/a.mp4")[1]
    '/videos/a.mp4'
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import available_protocols

    kept = _KEEPING.intersection(
        step.partition("://")[0] for step in address.split("::")[:-1]
    )
    if kept:
        raise VideoReadError(
            public_name(address),
            f"{kept.pop()} keeps a copy, which may be older than what its server has",
            "give the address without it",
        )
    protocol = address.split("::")[0].split("://")[0]
    if protocol not in available_protocols():
        raise VideoReadError(
            public_name(address),
            f"{protocol} is no protocol that files are read by (fsspec knows it not)",
            "give http, https, s3, gs or another protocol of fsspec, or download it; "
            "a stream that runs is for watch",
        )
    try:
        fs, path = url_to_fs(address)
    except ImportError as error:
        wanted = _PACKAGES.get(protocol)
        advice = f"pip install '{wanted}'" if wanted else "install what is named there"
        raise VideoReadError(
            public_name(address),
            f"a package that reads {protocol}:// is missing ({_plain(error, address)})",
            advice,
        ) from None
    except (ValueError, OSError) as error:
        raise _refused(address, error) from None
    return fs, path


@contextmanager
def plainly(address: str) -> Iterator[None]:
    """Turn what a file system raises into a `VideoReadError` without secrets.

    Parameters
    ----------
    address : str
    """
    try:
        yield
    except VideoReadError:
        raise
    except Exception as error:  # each package has classes of its own
        raise _refused(address, error) from None


def _refused(address, error):
    reason, advice = _reason(error, address)
    return VideoReadError(public_name(address), reason, advice)


def _reason(error, address):
    name = type(error).__name__
    again = "try again; see whether the server can be reached from here"
    if isinstance(error, FileNotFoundError):
        return "there is no such file on the server", "check the address"
    if isinstance(error, PermissionError) or "Credentials" in name:
        return (
            f"the server refuses it ({_plain(error, address)})",
            "check credentials, or whether the signature has run out",
        )
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return "the server did not answer in time", again
    if name == "FileExpired":
        return "it was changed while it was read", "try again"
    said = _plain(error, address)
    what = name if said == name else f"{name}: {said}"
    return f"the server cannot be read ({what})", again


def _plain(error, address):
    """Quote an error; of an address with secrets its kind: it may hold some of them."""
    if public_name(address) != address and not isinstance(error, ImportError):
        return type(error).__name__
    text = public_name(" ".join(str(error).split()))
    return text if len(text) < 200 else f"{text[:200]}..."
