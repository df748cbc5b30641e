"""Strategies by name, and the detectors of an ensemble that is given none."""

from __future__ import annotations

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


def default_detectors(n_frames: int) -> list:
    """Return the detectors of an ensemble that is given none.

    Parameters
    ----------
    n_frames : int
        Frames sampled per video.

    Returns
    -------
    list of FrameDetector
        Xception, EfficientNet-B4 and ResNet-50, each on frames and on face crops.
    """
    from base_models.detectors.frame import FrameDetector

    return [
        FrameDetector(backbone, view, n_frames=n_frames)
        for backbone in ("xception", "efficientnet", "resnet")
        for view in ("frame", "face")
    ]
