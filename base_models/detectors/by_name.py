"""Detectors by name: our own, and those that other packages declare."""

from __future__ import annotations

import importlib
from typing import Any

from base_models.naming import find_name
from base_models.plugins import DETECTORS, plugins

_OWN = {  # name -> module of base_models.detectors and class; imported when asked for
    "feature_path": "feature_path:FeaturePathDetector",
    "flicker": "flicker:FlickerDetector",
    "frame": "frame:FrameDetector",
    "frequency": "frequency:FrequencyDetector",
    "geometry": "geometry:GeometryDetector",
    "lstm": "lstm:LSTMDetector",
}


def detector_names() -> list[str]:
    """Return the names of all detectors: ours, then those of other packages.

    Examples
    --------
    >>> from base_models import detector_names
    >>> "frequency" in detector_names()
    True
    """
    return [*_OWN, *plugins(DETECTORS, taken=_OWN)]


def make_detector(name: str, **params: Any) -> Any:
    """Make a detector by its name.

    Parameters
    ----------
    name : str
        One of `detector_names`. Other packages add theirs by an entry point of the
        group ``deepfake_ensemble.detectors``.
    **params
        Of its class.

    Returns
    -------
    detector
        Unfitted.

    Raises
    ------
    ValueError
        If there is no such detector.
    PluginError
        If the package that declares it cannot be imported.

    Examples
    --------
    >>> from base_models import make_detector
    >>> make_detector("frequency", view="frame", n_frames=4)
    FrequencyDetector(n_frames=4, view='frame')
    """
    others = plugins(DETECTORS, taken=_OWN)
    name = find_name(name, [*_OWN, *others], "detector")
    if name in others:
        return others[name].imported()(**params)
    module, _, cls = _OWN[name].partition(":")
    found = importlib.import_module(f"base_models.detectors.{module}")
    return getattr(found, cls)(**params)
