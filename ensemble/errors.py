"""Errors that callers of `ensemble` act on."""

from base_models.errors import CheckpointError, UnscorableVideoError

__all__ = ["CheckpointError", "LeakError", "UnscorableVideoError"]


class LeakError(ValueError):
    """A group, or a video, is in the training and in the test part of one fold."""
