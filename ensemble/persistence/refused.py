"""Says at the fit what `save` would refuse: a fit may take hours, saving comes last."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from base_models.errors import ArtifactError, DeepfakeEnsembleWarning
from ensemble.persistence.codec import Writer


def warn_of_what_is_not_saved(
    fitted: Any, stacklevel: int = 2, detectors: Iterable[Any] = ()
) -> None:
    """Warn of a fitted combiner or detector that no file can hold.

    It is not refused, as whoever compares or only judges needs no file.

    Parameters
    ----------
    fitted : Combiner
    stacklevel : int, default=2
    detectors : iterable of detectors, default=()
    """
    for detector in detectors:
        if hasattr(detector, "get_state"):
            continue
        try:
            Writer().detector(detector)
        except ArtifactError as error:
            warnings.warn(
                f"{error}. `save` will refuse this fit, which works otherwise",
                DeepfakeEnsembleWarning,
                stacklevel=stacklevel + 1,
            )
    try:
        Writer().encode(fitted)
    except ArtifactError as error:
        warnings.warn(
            f"{error}: `save` will refuse this fit, which works otherwise. To save it, "
            'choose what files hold, such as "forest", "lightgbm" or '
            "LogisticRegression(); pickle and joblib keep anything, and run code when "
            "they load",
            DeepfakeEnsembleWarning,
            stacklevel=stacklevel + 1,
        )
