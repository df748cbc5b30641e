"""The classes that a saved ensemble may name, by their public names."""

import importlib
from collections import ChainMap

from base_models.errors import CheckpointError
from ensemble.combiners.registry import COMBINER_CLASSES

# Public name -> module. A file holds the name alone, so modules may move; files of
# earlier releases hold "module:name", of which the name counts. Nothing else is ever
# imported. A class that gets another name stays here under its old one, too.
COMBINERS = ChainMap(
    COMBINER_CLASSES,
    {
        "Calibrator": "ensemble.calibration.calibrator",
        "GroupBootstrap": "ensemble.resampling.splitters",
        "GroupHoldout": "ensemble.resampling.splitters",
        "StratifiedGroupFolds": "ensemble.resampling.splitters",
    },
)
DETECTORS = {
    "CallableDetector": "base_models.detectors.callable_detector",
    "CompressionRouter": "base_models.detectors.compression_router",
    "FlickerDetector": "base_models.detectors.flicker",
    "FrameDetector": "base_models.detectors.frame",
    "FrequencyDetector": "base_models.detectors.frequency",
    "GeometryDetector": "base_models.detectors.geometry",
    "LSTMDetector": "base_models.detectors.lstm",
    "PrefitDetector": "base_models.detectors.prefit",
    "TorchDetector": "base_models.detectors.torch_detector",
    "DlibFaceFinder": "base_models.faces.dlib_finder",
    "HaarFaceFinder": "base_models.faces.finders",
    "YuNetFaceFinder": "base_models.faces.finders",
    "TrainingRecipe": "base_models.training.recipe",
    "Augmentation": "base_models.augmentation.augment",
    "PseudoFakes": "base_models.augmentation.pseudo_fakes",
}
_PACKAGES = ("base_models", "ensemble")


def saved_name(cls, classes):
    """Return the name under which files know a class, or None.

    Parameters
    ----------
    cls : type
    classes : dict of str to str
        Public name to module: `COMBINERS`, `DETECTORS` or both.

    Returns
    -------
    str or None
        None for a class that is not one of `classes`, a subclass included.
    """
    name = cls.__qualname__
    return name if classes.get(name) == cls.__module__ else None


def saved_class(name, classes, path):
    """Return the class of a name in a file.

    Parameters
    ----------
    name : str
        ``"Voting"``, or of an earlier release ``"ensemble.combiners.voting:Voting"``.
    classes : dict of str to str
        The classes that may stand there: public name to module.
    path : str or Path
        The file, for messages.

    Returns
    -------
    type

    Raises
    ------
    CheckpointError
        If it is none of these.

    Examples
    --------
    >>> from ensemble.persistence.classes import COMBINERS, saved_class
    >>> saved_class("ensemble.combiners.somewhere:Voting", COMBINERS, "model.dfe")
    <class 'ensemble.combiners.voting.Voting'>
    """
    module, _, public_name = str(name).rpartition(":")
    known = not module or module.partition(".")[0] in _PACKAGES
    if not known or public_name not in classes:
        raise CheckpointError(f"{path} names {name}, which this release does not have")
    return getattr(importlib.import_module(classes[public_name]), public_name)
