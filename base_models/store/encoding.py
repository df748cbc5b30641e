"""An entry of a store as bytes: a safetensors file, and its checksum behind it.

The checksum begins with the entry's kind and key, so that one which got into the place
of another is found as well as damage. It tells no forger: who can write to a store can
write checksums. Entries of earlier releases have none, and their lengths must be right.
"""

from __future__ import annotations

import json
import mmap
import zlib
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

Entry: TypeAlias = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, meta

_TYPES = {  # of safetensors
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32,
    "U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
# CRC-32 is the quickest of what Python has; it misses one damage in 4 thousand million.
_MARK = b"\ncrc"
_BEHIND = len(_MARK) + 4  # bytes, of mark and checksum


def encoded(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], name: str = ""
) -> bytes:
    """Return arrays and a JSON-able dict as bytes.

    Parameters
    ----------
    arrays : dict of str to ndarray
    meta : dict
    name : str, default=""
        Whose entry it is: `decoded` must be given the same.

    Returns
    -------
    bytes
    """
    content: bytes = save(arrays, {"meta": json.dumps(meta)})
    return b"".join([content, _MARK, _checksum(content, name)])


def decoded(content: mmap.mmap | bytearray | bytes, name: str = "") -> Entry:
    """Return (arrays, meta) of what `encoded` wrote, without copying the arrays.

    Parameters
    ----------
    content : mmap, bytearray or bytes
    name : str, default=""

    Returns
    -------
    arrays : dict of str to ndarray
    meta : dict

    Raises
    ------
    ValueError
        If it is not what was written. What an entry without a checksum raises may be
        anything.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.store.encoding import decoded, encoded
    >>> content = bytearray(encoded({"scores": np.array([0.25])}, {"reason": ""}))
    >>> decoded(content)
    ({'scores': array([0.25])}, {'reason': ''})
    >>> content[-12] ^= 1
    >>> decoded(content)
    Traceback (most recent call last):
    ValueError: its checksum is another
    """
    size = len(content)
    if content[size - _BEHIND : size - 4] == _MARK:
        size -= _BEHIND
        if _checksum(memoryview(content)[:size], name) != content[size + len(_MARK) :]:
            raise ValueError("its checksum is another")
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= size:
        raise ValueError("no header")
    header = json.loads(bytes(content[8:start]))
    meta = json.loads(header.pop("__metadata__", {}).get("meta", "{}"))
    arrays, ends = {}, [0]
    for name, described in header.items():
        kind, shape = np.dtype(_TYPES[described["dtype"]]), described["shape"]
        begin, end = described["data_offsets"]
        if start + end > size:
            raise ValueError("cut short")
        part = memoryview(content)[start + begin : start + end]
        arrays[name] = np.frombuffer(part, kind).reshape(shape)
        ends.append(end)
    if start + max(ends) != size:
        raise ValueError("its length is another")
    return arrays, meta


def _checksum(content: bytes | memoryview, name: str) -> bytes:
    return zlib.crc32(content, zlib.crc32(name.encode())).to_bytes(4, "little")
