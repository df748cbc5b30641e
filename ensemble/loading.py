"""Reads a fitted ensemble, or a rule on scores alone, from its file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

_TRIED = 8  # rows


def load(
    path: str | Path,
    detectors: dict | None = None,
    device: str | None = None,
    files: dict | None = None,
    combiners: dict | None = None,
    key: bytes | str | Path | None = None,
) -> Any:
    """Read what `DeepfakeEnsemble.save` or `ScorePipeline.save` wrote.

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
    key : bytes, str, Path or None, default=None
        With which the file must be signed, as for `save`; None is the file that
        ``DEEPFAKE_ENSEMBLE_KEY`` names, or asks for no signature.

    Returns
    -------
    DeepfakeEnsemble or ScorePipeline
        Fitted; its scores are those of the saved one. Of the arguments a
        `ScorePipeline` needs `combiners` at most.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, of a later format, not signed with `key`, or
        needs `detectors`.

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
    from ensemble.persistence.codec import Reader
    from ensemble.persistence.parts import reading_part
    from ensemble.pipeline.files import is_rule, read_rule

    if device is not None:
        from base_models.runtime.devices import resolve_device

        resolve_device(device)  # not there? before any work
    reader = Reader(Path(path), device, files, combiners, key)
    if is_rule(reader):
        return read_rule(reader)
    from ensemble.deepfake_ensemble import DeepfakeEnsemble
    from ensemble.persistence.load import read_ensemble

    params, fitted = read_ensemble(reader, DeepfakeEnsemble().get_params(), detectors)
    model = DeepfakeEnsemble(**params)
    vars(model).update(fitted)
    with reading_part(path, "what it learned"):
        _try_out(model)
    return model


def _try_out(model):
    """Answer for some rows of training, so that what cannot answer is not loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repr(model)
        model.judge_scores(model.oof_scores_.iloc[:_TRIED])
        str(model.card_)
