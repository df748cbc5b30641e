"""Warnings of a fit: what is learned from scores that say less than they seem."""

import warnings

from ensemble.out_of_fold.reals_only import learns
from ensemble.verdicts.card import doubt_of


def warn_of_what_was_seen(model, combiner, reals_alone):
    """Say when something is learned from scores that may be in sample."""
    if learns(combiner):
        learner = "the combiner"
    elif model.calibration is not None:
        learner = "the calibration"
    elif reals_alone and model.threshold is None:
        learner = "the threshold"
    else:
        return
    known = model.oof_scores_.attrs["provenance"].get("trained_on", {})
    said = [
        f"{name} was trained on "
        + ("unknown data" if seen is None else ", ".join(seen))
        for name, seen in known.items()
        if seen != []
    ]
    if said:
        warnings.warn(
            f"{'; '.join(said)}: scores of training videos that were among these "
            f"are in sample, and {learner} takes them for out of fold. Fit the "
            "ensemble on videos that were not; where that is so, say it in the "
            "card: load_checkpoint(..., trained_on=[]), or detector.card_ = "
            "{'trained_on': []}",
            stacklevel=4,
        )


def warn_of_chance(model):
    """Say when the ensemble is not shown to be better than guessing."""
    doubt = doubt_of(model)
    if doubt:
        warnings.warn(
            f"{doubt}. `judge` and the command line call every video "
            "UNSURE, and the saved file says so. More videos and groups may show "
            "that it does; otherwise these detectors cannot tell these fakes",
            stacklevel=4,
        )


def warn_of_missing_rows(n_missing):
    """Say how many training videos no split tested."""
    if n_missing:
        warnings.warn(
            f"{n_missing} training videos were in no test part and have no "
            "out-of-fold score; the combiner learns without them (more bootstrap "
            "replicas leave none)",
            stacklevel=3,
        )
