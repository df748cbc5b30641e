"""What a saved ensemble (.dfe) holds: its manifest, and the writing of the file."""

import platform
from importlib.metadata import version
from pathlib import Path

from sklearn.base import clone

from ensemble._version import __version__
from ensemble.persistence.codec import FORMAT, Writer

_PACKAGES = ("lightgbm", "numpy", "scikit-learn", "skops", "timm", "torch")
# What `fit` leaves at the ensemble, and in its record, by the names that files have.
FITTED = ("classes_", "fake_class_", "prior_", "combiner_", "calibrator_")
FITTED += ("_reals_threshold", "_unseen", "false_alarms_", "_made_fakes")
# What came later, and is not written where it says nothing: files stay as they were.
_CAME_LATER = {"cascade": None, "member_costs": None}
CASCADES = {"_cascade": "cascade", "_step_cascade": "step_cascade"}
FRAME_STEPS = "_frame_steps"
IN_RECORD = {
    "_reals_threshold": "reals_threshold",
    "_unseen": "cross_fitted",
    "_made_fakes": "made_fakes",
}


def save_ensemble(
    path: str | Path,
    params: dict,
    fitted: dict,
    card: dict,
    key: bytes | None = None,
) -> None:
    """Write a fitted ensemble to one file.

    Networks, combiner, out-of-fold scores and the contents' digests of the training
    videos are kept; the videos themselves are not. A detector that holds code of its
    user (`TorchDetector`, `CallableDetector`, classes that are not ours or
    scikit-learn's) leaves its weights and its name: it is given again to `load`,
    unfitted, or as it is where it was fitted before (`ensemble.out_of_fold.is_prefit`).
    So is a combiner of a class of the user's, of which the file keeps the parameters
    and what it learned.

    Parameters
    ----------
    path : str or Path
        The file; written whole or not at all.
    params : dict
        The ensemble's parameters.
    fitted : dict
        Its fitted attributes, by name.
    card : dict
        Of `ensemble.verdicts.card.saved_card`.
    key : bytes or None, default=None
        To sign it with.
    """
    writer = Writer()
    record, table = fitted["fit_record_"], fitted["oof_scores_"]
    learned = fitted | {name: getattr(record, at) for name, at in IN_RECORD.items()}
    chosen = record.chosen_combiner
    manifest = {
        "format": FORMAT,
        "versions": {
            "deepfake-ensemble": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "params": {
            name: writer.encode(value) for name, value in _plain(params).items()
        },
        "default_detectors": params["detectors"] is None,
        "detectors": [
            {
                "name": name,
                "members": [writer.detector(member) for member in _as_list(members)],
                "averaged": isinstance(members, list),
            }
            for name, members in fitted["detectors_"].items()
        ],
        "fitted": {name: writer.encode(learned[name]) for name in FITTED}
        | _of_cascades(writer, record, params),
        "chosen_combiner": writer.encode(chosen if isinstance(chosen, str) else None),
        "table": {
            "scores": writer.encode(table.to_numpy()),
            "index": list(table.index),
            "columns": list(table.columns),
            "attrs": {name: _pairs(value) for name, value in table.attrs.items()},
        },
        "training": {
            name: writer.encode(getattr(record.training, name))
            for name in ("digests", "ids", "is_fake", "groups", "weight", "given")
        },
        "splits": writer.encode([list(split) for split in record.splits]),
        "card": card,
    }
    writer.write(manifest, Path(path), key)


def _plain(params):
    """Return the parameters that the ensemble's use after loading needs."""
    kept = {
        name: params[name] for name in params if name not in ("detectors", "device")
    }
    kept["store"] = None
    for name, default in _CAME_LATER.items():
        if kept[name] == default:
            del kept[name]
    if not isinstance(kept["resampling"], (str, int, type(None))):
        kept["resampling"] = None  # the splits themselves are kept
    if not isinstance(kept["combiner"], (str, type(None))):
        kept["combiner"] = clone(kept["combiner"])
    return kept


def _of_cascades(writer, record, params):
    """Return what cascades learn from, and what they learned where one is asked for."""
    kept = {FRAME_STEPS: record.frame_steps} if record.frame_steps else {}
    for name, at in CASCADES.items():
        learned = getattr(record, at)
        if learned is not None and params["cascade"] is not None:
            kept[name] = learned.to_state()
    return {name: writer.encode(value) for name, value in kept.items()}


def _as_list(members):
    return members if isinstance(members, list) else [members]


def _pairs(value):
    """JSON makes every key a string; row ids and labels keep their type this way."""
    if not isinstance(value, dict):
        return value
    return {"dict": [[key, _pairs(entry)] for key, entry in value.items()]}
