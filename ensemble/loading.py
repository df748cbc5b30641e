"""Reads a fitted ensemble from its file."""

from __future__ import annotations

from pathlib import Path

from ensemble.deepfake_ensemble import DeepfakeEnsemble


def load(
    path: str | Path,
    detectors: dict | None = None,
    device: str | None = None,
    files: dict | None = None,
    combiners: dict | None = None,
) -> DeepfakeEnsemble:
    """Read an ensemble that `DeepfakeEnsemble.save` wrote.

    No code comes from the file: classes are ours, or those scikit-learn types that
    skops trusts. Nor does it decide where anything is read or written: its store is
    that of the user, and the paths that it names (of weights, of a face finder's
    network) are kept as text and not opened, unless `files` gives them.

    Parameters
    ----------
    path : str or Path
        The file.
    detectors : dict of str to detector, default=None
        By name, the detectors that hold code of their user, which the file cannot:
        unfitted, or as they are those that were fitted before the ensemble was.
    device : str or None, default=None
        Where the networks compute; None is a GPU where there is one.
    files : dict of str to (str or Path), default=None
        Your files, by the paths that the model names: a face finder's network, which
        scoring needs, or the weights that a refit is to start from.
    combiners : dict of str to combiner, default=None
        By the name of its class, an unfitted combiner of a class of your own, whose
        code the file does not hold: a subclass of ``ensemble.combiners.Combiner``. Its
        parameters and what it learned come from the file.

    Returns
    -------
    DeepfakeEnsemble
        Fitted; its scores are those of the saved one.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of a later format, or needs `detectors`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import ensemble
    >>> from base_models import CallableDetector
    >>> def bright(videos):
    ...     return [video.mean() / 255 for video in videos]
    >>> videos = [np.full((4, 8, 8, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    >>> model = ensemble.DeepfakeEnsemble([CallableDetector(bright)], resampling=2)
    >>> model = model.fit(videos, [0] * 6 + [1] * 6, groups=range(12))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.dfe")
    ...     again = ensemble.load(
    ...         f"{folder}/model.dfe", detectors={"bright": CallableDetector(bright)}
    ...     )
    >>> bool((again.fake_score(videos) == model.fake_score(videos)).all())
    True
    """
    from ensemble.persistence.load import read_ensemble

    if device is not None:
        from base_models.runtime.devices import resolve_device

        resolve_device(device)  # not there? before any work
    params, fitted = read_ensemble(
        path, DeepfakeEnsemble().get_params(), detectors, device, files, combiners
    )
    model = DeepfakeEnsemble(**params)
    vars(model).update(fitted)
    return model
