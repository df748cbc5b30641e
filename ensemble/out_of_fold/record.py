"""What a fit leaves at an ensemble for its own later use."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble.out_of_fold.ensemble_scores import OutOfFoldEvidence
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.resampling.names import scores_are


@dataclass
class FitRecord:
    """What a fit leaves at an ensemble beside its public attributes.

    Attributes
    ----------
    training : TrainingSet
        The training videos, in their canonical order.
    splits : list of (train, test)
        Rows of `training`.
    facts : CardFacts
        What the card knows beside scores.
    chosen_combiner : str or combiner
        As it was asked for.
    reals_threshold : float or None
        After a fit on real videos alone: the threshold that `false_alarm_rate` set.
    cross_fitted : ndarray of shape (n_scored,) or None
        P(fake) of the out-of-fold rows that have a score, by combiners that had not
        seen the group; None until it is needed.
    evidence : OutOfFoldEvidence or None
        None until it is needed; see
        `ensemble.out_of_fold.ensemble_scores.out_of_fold_of`.
    file : str or None
        Where the ensemble was saved or loaded as it is.
    file_stamp : str or None
        What that file looked like then: another one may be there by now.
    file_sha256 : str or None
        Of that file; None until it is needed.
    made_fakes : ndarray of shape (n_videos, n_detectors) or None
        After a fit on real videos alone: detectors' scores of pseudo-fakes of kinds
        that none of them learned from. They set weights and are no figure of anything.
    cascade : MemberCascade or None
        In which order members are asked, and what is known after each; None until it is
        needed. See `ensemble.cascade`.
    step_cascade : MemberCascade or None
        The same, where members look at a part of their frames first.
    frame_steps : dict of str to ndarray of shape (n_videos, 2)
        Out-of-fold P(fake) by a quarter and by half of the frames, in the order of
        `training`, of members that can look so.
    alarms_at : dict
        After a fit on real videos alone, what is known of limits: see
        `ensemble.verdicts.threshold_and_prior.reals_above`.
    """

    training: TrainingSet
    splits: list
    facts: Any
    chosen_combiner: Any = None
    reals_threshold: float | None = None
    cross_fitted: np.ndarray | None = None
    evidence: OutOfFoldEvidence | None = None
    file: str | None = None
    file_stamp: str | None = None
    file_sha256: str | None = None
    made_fakes: np.ndarray | None = None
    cascade: Any = None
    step_cascade: Any = None
    frame_steps: dict = field(default_factory=dict, repr=False)
    alarms_at: dict = field(default_factory=dict, repr=False)

    def lies_in(self, path: str | os.PathLike) -> None:
        """Note the file that the ensemble was made of."""
        vars(self).update(file_of(path))

    @property
    def reals_alone(self) -> bool:
        """Whether all training videos are real."""
        return len(self.training) > 0 and not self.training.is_fake.any()

    @property
    def unlabelled(self) -> bool:
        """Whether there were no training videos: trained detectors put together."""
        return not len(self.training)

    @property
    def kind(self) -> str:
        """What the scores are: "out-of-fold", "out-of-bag" or "hold-out"."""
        return scores_are(self.splits, len(self.training))


def file_of(path: str | os.PathLike) -> dict[str, str | None]:
    """Return what a `FitRecord` knows of the file that an ensemble lies in.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        ``file``, ``file_stamp`` and ``file_sha256``, which is not known so far.
    """
    status = os.stat(path) if os.path.isfile(path) else None
    seen = None
    if status is not None:
        seen = f"{status.st_ino} {status.st_size} {status.st_ctime_ns}"
    return {"file": os.path.realpath(path), "file_stamp": seen, "file_sha256": None}
