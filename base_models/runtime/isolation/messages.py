"""Messages between a process and its reader: JSON, and arrays in shared memory.

What comes back is never unpickled: what a file does to the reader's memory ends there.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

_HEAD = struct.Struct(">I")
_MOST = 2**26  # bytes of a message


class Garbled(Exception):
    """What came is no message."""


def send(
    connection: socket.socket, content: bytes, descriptors: Sequence[int] = ()
) -> None:
    """Send bytes, and open files beside them.

    Parameters
    ----------
    connection : socket
    content : bytes
    descriptors : sequence of int
    """
    head = _HEAD.pack(len(content))
    if descriptors:
        socket.send_fds(connection, [head], list(descriptors))
    else:
        connection.sendall(head)
    connection.sendall(content)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Receive what `send` sent.

    Raises
    ------
    EOFError
        If the other side is gone.
    Garbled
        If it is longer than any message.
    """
    head, descriptors, _, _ = socket.recv_fds(connection, _HEAD.size, 1)
    try:
        head += _exactly(connection, _HEAD.size - len(head)) if head else b""
        if len(head) < _HEAD.size:
            raise EOFError
        (length,) = _HEAD.unpack(head)
        if length > _MOST:
            raise Garbled(f"a message of {length} bytes")
        return _exactly(connection, length), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _exactly(connection, length):
    content = bytearray()
    while len(content) < length:
        piece = connection.recv(min(length - len(content), 2**20))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)


def send_plain(connection: socket.socket, value: Any, **files: int) -> None:
    """Send what JSON can hold, and perhaps one open file."""
    send(connection, json.dumps(value).encode(), list(files.values()))


def receive_plain(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Receive what `send_plain` sent.

    Returns
    -------
    value : dict
    descriptor : int or None
        Of an open file, now the caller's.
    """
    content, descriptors = receive(connection)
    try:
        value = json.loads(content)
        if not isinstance(value, dict):
            raise ValueError
    except ValueError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise Garbled("a message that is no JSON") from None
    return value, descriptors[0] if descriptors else None


class SharedArray:
    """An array of bytes that another process can have without a copy.

    Parameters
    ----------
    shape : tuple of int

    Attributes
    ----------
    array : ndarray of shape `shape`, uint8
    file : int
        Descriptor, to send.

    Examples
    --------
    >>> from base_models.runtime.isolation.messages import SharedArray, taken_over
    >>> ours = SharedArray((2, 3))
    >>> ours.array[:] = 7
    >>> theirs = taken_over(os.dup(ours.file), (2, 3))
    >>> ours.close()
    >>> theirs.tolist()
    [[7, 7, 7], [7, 7, 7]]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.file = _memory_file()
        try:
            os.ftruncate(self.file, max(1, math.prod(shape)))
            self.array = _mapped(self.file, shape)
        except BaseException as error:
            os.close(self.file)
            if isinstance(error, (OSError, ValueError)):
                raise MemoryError from error
            raise

    def close(self) -> None:
        """Let go of it here."""
        os.close(self.file)
        del self.array


def taken_over(descriptor: int, shape: Sequence[int]) -> np.ndarray:
    """Return the array behind a descriptor, which is closed.

    Parameters
    ----------
    descriptor : int
        As another process sent it.
    shape : sequence of int
        As it says.

    Raises
    ------
    Garbled
        If it is of another size.
    """
    try:
        _forbid_shrinking(descriptor)
        plausible = all(isinstance(n, int) and n > 0 for n in shape)
        if not plausible or os.fstat(descriptor).st_size != math.prod(shape):
            raise Garbled(f"an array of shape {shape}")
        return _mapped(descriptor, shape)
    finally:
        os.close(descriptor)


def _memory_file():
    if hasattr(os, "memfd_create"):
        return os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _forbid_shrinking(descriptor):
    """Keep it as long as it is: what was mapped and is gone ends a process."""
    import fcntl

    with suppress(AttributeError, OSError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)


def _mapped(descriptor, shape):
    size = math.prod(shape)
    memory = mmap.mmap(descriptor, max(1, size))
    # By way of ctypes: joblib takes an array on an `mmap` for one of a file.
    content = (ctypes.c_uint8 * size).from_buffer(memory)
    return np.frombuffer(content, np.uint8).reshape(shape)
