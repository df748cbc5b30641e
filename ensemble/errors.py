"""Errors that callers of `ensemble` act on."""

from base_models.errors import CheckpointError, UnscorableVideoError
from ensemble.resampling import LeakError

__all__ = ["CheckpointError", "LeakError", "UnscorableVideoError"]
