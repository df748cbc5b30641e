"""What numbers of few bits this machine's processor reckons with."""

from __future__ import annotations

from pathlib import Path

from base_models.runtime.caches import cached


def has_bfloat16() -> bool:
    """Say whether this processor reckons with bfloat16; False where nobody can tell."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & _flags())


def has_int8() -> bool:
    """Say whether it sums products of 8 bits in one step; False where nobody can tell.

    Without such an instruction, sums of 8 bits overflow on some processors, and are
    slow on others.
    """
    return bool({"avx512_vnni", "avx_vnni", "asimddp"} & _flags())


@cached(maxsize=1)
def _flags():
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    named = next((x for x in lines if x.startswith(("flags", "Features"))), "")
    return frozenset(named.split())
