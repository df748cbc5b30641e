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
    "FailedDetectorsError",
    "LeakError",
    "ScoreTableError",
    "UnscorableVideoError",
]


class LeakError(ValueError):
    """A group, or a video, is in the training and in the test part of one fold."""


class FailedDetectorsError(RuntimeError):
    """Too many detectors failed in a fit; the others cannot be combined.

    Parameters
    ----------
    detectors : dict of str to str
        Name -> where it failed and why.
    problem : str
        Why that ends the fit.

    Attributes
    ----------
    detectors : dict of str to str

    Examples
    --------
    >>> from ensemble.errors import FailedDetectorsError
    >>> print(FailedDetectorsError({"net": "fold 2 of 5: MemoryError"}, "none is left"))
    none is left: net failed (fold 2 of 5: MemoryError). What was computed is kept in
    the store; mend these detectors or leave them out, and fit again
    """

    def __init__(self, detectors: dict[str, str], problem: str) -> None:
        self.detectors, self.problem = dict(detectors), problem
        super().__init__(
            f"{problem}: {listed_failures(self.detectors)}. What was computed is kept "
            "in the store; mend these detectors or leave them out, and fit again"
        )

    def __reduce__(self):
        return type(self), (self.detectors, self.problem)


def listed_failures(detectors: dict[str, str]) -> str:
    """Return detectors that failed and why, in a line.

    Examples
    --------
    >>> from ensemble.errors import listed_failures
    >>> listed_failures({"net": "fold 2 of 5: MemoryError"})
    'net failed (fold 2 of 5: MemoryError)'
    """
    return "; ".join(f"{name} failed ({why})" for name, why in detectors.items())
