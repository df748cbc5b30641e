"""Strategies by name: how the training videos are used, and what combines scores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Strategy:
    """A preset: how the training videos are used, and what combines the scores.

    Attributes
    ----------
    resampling : str
        Where the combiner's scores come from: see `ensemble.resampling`.
    combiner : str
        See `ensemble.combiners.resolve_combiner`.
    replicas : bool
        Whether the detectors of the splits are kept and averaged, with none fitted
        on all videos.
    """

    resampling: str
    combiner: str
    replicas: bool = False


STRATEGIES = {
    "voting": Strategy("k-fold", "log_odds"),
    "bagging": Strategy("bootstrap", "soft", replicas=True),
    "blending": Strategy("holdout", "logistic"),
    "stacking": Strategy("k-fold", "logistic"),
}
