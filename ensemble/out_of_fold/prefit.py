"""Detectors that were fitted before: they score, and are not fitted again."""

from typing import Any

from sklearn.frozen import FrozenEstimator


def is_prefit(detector: Any) -> bool:
    """Say whether a detector is fitted already, to be taken as it is.

    Parameters
    ----------
    detector : detector
        Such are those of `base_models.load_checkpoint`, any in scikit-learn's
        ``FrozenEstimator``, and those that say ``prefit = True`` and whose
        ``__sklearn_clone__`` returns themselves. What they have seen is told by
        ``card_["trained_on"]``: names of data, [] for nothing; unknown without.

    Returns
    -------
    bool

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from base_models import CallableDetector
    >>> from ensemble.out_of_fold import is_prefit
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> is_prefit(bright), is_prefit(FrozenEstimator(bright))
    (False, True)
    """
    return isinstance(detector, FrozenEstimator) or bool(
        getattr(detector, "prefit", False)
    )
