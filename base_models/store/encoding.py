"""An entry of a store as bytes: a safetensors file whose header holds the rest."""

from __future__ import annotations

import json
import mmap
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

Entry: TypeAlias = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, meta

_TYPES = {  # of safetensors
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32,
    "U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip


def encoded(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    """Return arrays and a JSON-able dict as bytes."""
    content: bytes = save(arrays, {"meta": json.dumps(meta)})
    return content


def decoded(content: mmap.mmap | bytearray | bytes) -> Entry:
    """Return (arrays, meta) of safetensors bytes, without copying them."""
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError("no header")
    header = json.loads(bytes(content[8:start]))
    meta = json.loads(header.pop("__metadata__", {}).get("meta", "{}"))
    arrays = {}
    for name, described in header.items():
        kind, shape = np.dtype(_TYPES[described["dtype"]]), described["shape"]
        begin, end = described["data_offsets"]
        if start + end > len(content):
            raise ValueError("cut short")
        part = memoryview(content)[start + begin : start + end]
        arrays[name] = np.frombuffer(part, kind).reshape(shape)
    return arrays, meta
