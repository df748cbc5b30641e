"""Errors that callers of `ensemble` act on."""

from base_models.errors import (
    ArtifactError,
    CheckpointError,
    ScoreTableError,
    UnscorableVideoError,
)

__all__ = [
    "ArtifactError",
    "CheckpointError",
    "LeakError",
    "ScoreTableError",
    "UnscorableVideoError",
]


class LeakError(ValueError):
    """A group, or a video, is in the training and in the test part of one fold."""
