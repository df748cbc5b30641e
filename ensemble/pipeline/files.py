"""A `ScorePipeline` as one file: JSON and arrays, no code, no network."""

from __future__ import annotations

import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import ArtifactError
from ensemble._version import __version__
from ensemble.persistence.codec import RULE_FORMAT, Reader, Writer
from ensemble.persistence.parts import reading_part

_PACKAGES = ("lightgbm", "numpy", "scikit-learn", "skops")


def save_rule(rule: Any, path: str | Path, key: bytes | None = None) -> None:
    """Write a fitted rule to one file, whole or not at all.

    Parameters
    ----------
    rule : ScorePipeline
    path : str or Path
    key : bytes or None, default=None
        To sign it with.
    """
    writer = Writer()
    manifest = {
        "format": RULE_FORMAT,
        "versions": {
            "deepfake-ensemble": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "rule": writer.encode(rule),
    }
    writer.write(manifest, Path(path), key)


def is_rule(reader: Reader) -> bool:
    """Say whether a file holds a rule on scores, and not an ensemble of detectors.

    Parameters
    ----------
    reader : Reader

    Returns
    -------
    bool
    """
    return reader.manifest["format"] == RULE_FORMAT


def read_rule(reader: Reader) -> Any:
    """Return the rule in a file that `save_rule` wrote.

    Parameters
    ----------
    reader : Reader

    Returns
    -------
    ScorePipeline

    Raises
    ------
    ArtifactError
        If something else is in it.
    """
    if not is_rule(reader):
        raise ArtifactError(
            f"{reader.path} is a saved ensemble of detectors, which scores videos; "
            "ensemble.load reads it, and predict, scan and stress use it"
        )
    content = reader.manifest.get("rule")
    if not isinstance(content, dict) or content.get("own") != "ScorePipeline":
        raise ArtifactError(f"{reader.path} is damaged: no rule is in it")
    with reading_part(reader.path, "the rule in it"):
        rule = reader.decode(content)
        _try_out(rule)
    return rule


def _try_out(rule):
    """Judge a few rows, so that what cannot judge is not loaded."""
    ranges = np.asarray(rule.score_range_, float)
    rows = np.vstack([*ranges.T, ranges.mean(axis=1), np.full(len(ranges), np.nan)])
    if hasattr(rule, "feature_names_in_"):
        rows = pd.DataFrame(rows, columns=list(rule.feature_names_in_))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rule.judge(rows)
        rule.describe()
