"""Starts Ray on this machine, without the figures of use that it sends by itself."""

from __future__ import annotations

import os
from typing import Any


def start_ray(**options: Any) -> None:
    """Start Ray here, and have it tell nobody.

    Parameters
    ----------
    **options
        To ``ray.init``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read where it starts
    import ray

    ray.init(**options)
