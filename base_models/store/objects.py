"""A store's entries in a bucket: one object each, behind an address of fsspec."""

from __future__ import annotations

import mmap
import tempfile
import warnings
from typing import Any

from base_models.addresses import public_name
from base_models.errors import DeepfakeEnsembleWarning, VideoReadError
from base_models.runtime.caches import register
from base_models.runtime.remote.filesystems import file_system
from base_models.runtime.warn_once import told_to_sender

_READ_ONLY = ("http", "https", "data", "zip", "tar", "libarchive", "git", "github")

_warned: set[tuple[str, str]] = set()  # (address, kind of error)
register(f"{__name__}._warned", _warned.clear)


class StoreObjects:
    """The entries of a store that is named by an address.

    Parameters
    ----------
    address : str
        Of the folder; it need not exist.

    Examples
    --------
    >>> from base_models.store.objects import StoreObjects
    >>> objects = StoreObjects("memory://example/store")
    >>> objects.write("view", "0a" * 32, b"content")
    >>> objects.read("view", "0a" * 32)
    b'content'
    >>> objects.delete("view", "0a" * 32)
    >>> objects.read("view", "0a" * 32) is None
    True
    """

    def __init__(self, address: str) -> None:
        protocol = address.split("::")[0].split("://")[0]
        if protocol in _READ_ONLY:
            raise ValueError(
                f"a store must be written to, and {protocol} is for reading: "
                f"{public_name(address)}; give s3://, gs:// or a folder"
            )
        self.address = address.rstrip("/")

    def read(self, kind: str, key: str) -> bytes | None:
        """Return an entry's bytes; None where there is none, or none can be read."""
        content: bytes
        try:
            fs, root = self._open()
            content = fs.cat_file(self._name(root, kind, key))
        except (FileNotFoundError, IsADirectoryError):
            return None
        except Exception as error:  # each package has classes of its own
            self._warn("read", error)
            return None
        return content

    def write(self, kind: str, key: str, content: bytes) -> None:
        """Keep bytes; what goes wrong costs the entry, not the run."""
        try:
            fs, root = self._open()
            name = self._name(root, kind, key)
            if not getattr(fs, "async_impl", False):  # buckets have no folders
                fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(name, content)
        except Exception as error:  # as above
            self._warn("written to", error)

    def delete(self, kind: str, key: str) -> None:
        """Delete an entry, if there is one."""
        try:
            fs, root = self._open()
            fs.rm_file(self._name(root, kind, key))
        except FileNotFoundError:
            return
        except Exception as error:  # as above
            self._warn("written to", error)

    def keys(self, kind: str) -> set[str]:
        """Return the keys of a kind's entries."""
        try:
            fs, root = self._open()
            fs.invalidate_cache(root)
            names = fs.find(f"{root}/{kind}")
        except FileNotFoundError:
            return set()
        except Exception as error:  # as above
            self._warn("read", error)
            return set()
        files = (name.rpartition("/")[2].rpartition(".") for name in names)
        return {key for key, _, ending in files if ending == "safetensors"}

    def _open(self) -> tuple[Any, str]:
        fs, root = file_system(self.address)
        return fs, root.rstrip("/")

    def _name(self, root: str, kind: str, key: str) -> str:
        return f"{root}/{kind}/{key[:2]}/{key}.safetensors"

    def _warn(self, what: str, error: Exception) -> None:
        if isinstance(error, VideoReadError):
            reason = f"{error.reason}; {error.advice}"
        else:
            reason = public_name(f"{type(error).__name__}: {error}")
        about = self.address, what
        message = (
            f"the store {public_name(self.address)} cannot be {what} ({reason}); "
            "what it should keep is computed again"
        )
        if not told_to_sender(about, message) and about not in _warned:
            _warned.add(about)
            warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=4)


def mapped_copy(content: bytes | bytearray) -> mmap.mmap | bytes | bytearray:
    """Return bytes as a map of a temporary file, which leaves the memory to others.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    mmap or bytes
        The bytes themselves where they are few, or the disk has no room.
    """
    if len(content) <= mmap.PAGESIZE:
        return content
    try:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        return content
