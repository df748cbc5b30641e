"""An ensemble of trained detectors that no labelled video has been shown to."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ensemble._version import __version__
from ensemble.combiners import Voting, resolve_combiner
from ensemble.combiners.stacking import as_combiner
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.reals_only import learns
from ensemble.out_of_fold.record import FitRecord
from ensemble.out_of_fold.table import provenance_of
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.scores.provenance import stated
from ensemble.scores.table import score_table
from ensemble.verdicts.card import CardFacts

NO_LABELS = (
    "its score is of unknown calibration, since the model was put together without "
    "labelled videos"
)


def ready_detector(name: str, detector: Any) -> Any:
    """Return a trained detector as one that is never fitted again.

    Parameters
    ----------
    name : str
        For the message.
    detector : detector
        Of `base_models.load_checkpoint`, in ``FrozenEstimator``, fitted, or a
        `base_models.CallableDetector`, which has nothing to learn.

    Returns
    -------
    detector
        The same, in ``FrozenEstimator`` unless it is known to be fitted already.

    Raises
    ------
    NotFittedError
        For one that still has to be trained.
    """
    if is_prefit(detector):
        return detector
    if hasattr(detector, "function") and not hasattr(detector, "classes_"):
        detector = copy.copy(detector)
        detector.classes_ = np.array([0, 1])
    try:
        check_is_fitted(detector)
    except (NotFittedError, TypeError) as error:
        raise NotFittedError(
            f"{name} is not trained yet, and without labelled videos it cannot be: "
            "give a detector of load_checkpoint or a fitted one, or train it with "
            "DeepfakeEnsemble([...]).fit(videos, labels)"
        ) from error
    return FrozenEstimator(detector)


def put_together(model: Any, combiner: Any) -> Any:
    """Make an ensemble of trained detectors ready to score, without labelled videos.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Its ``detectors`` are trained: (name, detector) pairs. It gets what a fit would
        give it, of no videos.
    combiner : str or combiner
        One that learns nothing.

    Returns
    -------
    DeepfakeEnsemble
        The same.
    """
    named = model.detectors
    names = [name for name, _ in named]
    unfitted = _check_combiner(combiner, model.random_state)
    if model.prior is not None:
        raise ValueError(
            f"prior={model.prior!r} corrects a probability, and without labelled "
            "videos a score is not known to be one; give labelled videos to fit, or "
            "leave the prior out"
        )
    if model.unscorable == "prior":
        raise ValueError(
            "unscorable='prior' is the share of fakes in training, and there are no "
            "labelled videos; take unscorable='nan'"
        )
    facts = CardFacts(
        fitted_on=datetime.now(timezone.utc).date().isoformat(),
        version=__version__,
        problem=NO_LABELS,
    )
    nobody = TrainingSet(
        [], [], [], np.zeros(0, int), None, None, given=np.zeros(0, int)
    )
    model.classes_, model.fake_class_ = np.array([0, 1]), 1
    model.prior_ = float("nan")
    model.detectors_ = dict(named)
    model.oof_scores_ = score_table(
        np.zeros((0, len(names))),
        [],
        names,
        provenance=stated(
            out_of_fold=False,
            faces_pooling=model.faces_pooling,
            **provenance_of(named),
        ),
    )
    model.fit_record_ = FitRecord(nobody, [], facts, combiner)
    undecided = pd.DataFrame(np.full((2, len(names)), 0.5), columns=names)
    model.combiner_ = unfitted.fit(undecided, [0, 1])
    model.calibrator_ = model.false_alarms_ = None
    _ = model.thresholds_  # one that labelled videos would set is refused now
    return model


def _check_combiner(combiner, random_state):
    made = resolve_combiner(combiner)
    plain = isinstance(made, Voting) and not learns(made)
    if not plain or made.kind == "rank" or made.scale in ("standard", "rank"):
        raise ValueError(
            f"combiner={combiner!r} learns from labelled videos, and there are none; "
            "take 'log_odds', 'soft', 'median', 'max', 'min', 'trimmed' or 'hard', or "
            "call fit with labelled videos"
        )
    return clone(as_combiner(combiner, random_state=random_state or 0))
