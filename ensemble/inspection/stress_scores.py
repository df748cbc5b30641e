"""The scores of stress tests in a CSV: added to video by video, and found again.

Each row names everything that decided it (model, content of the video, change and
strength, seconds, seed, version of the changes) and ends in a check of itself. So a row
is used again only where it is the same question, and one that was cut short or damaged
counts as not there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from base_models.detectors.bases.video import with_fingerprints
from base_models.errors import DeepfakeEnsembleWarning
from base_models.limits import check_file
from base_models.runtime.file_writing import naming, write_text
from base_models.store.store import fingerprint
from ensemble.inspection.changes import CHANGES_VERSION

if TYPE_CHECKING:
    from ensemble.deepfake_ensemble import DeepfakeEnsemble

_SETTINGS = ("model", "version", "seconds", "seed")
_ROW = ("content", "video", "change", "strength")
_CHECK = "check"
_NOT_OF_SCORES = ("store", "device", "verbose", "n_jobs", "n_threads")


class StressScores:
    """Scores of one model under one set of settings, kept in memory and in a file.

    Parameters
    ----------
    path : str, Path or None
        The CSV; None keeps them in memory alone.
    scorers : sequence of str
        Names of the columns of scores.
    settings : dict
        ``model`` (its digest), ``seconds`` and ``seed``.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble.inspection.stress_scores import StressScores
    >>> settings = {"model": "0f", "seconds": 10.0, "seed": 0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scores = StressScores(f"{folder}/scores.csv", ["bright"], settings)
    ...     scores.add("ab", "a.mp4", {("blur", 2.0): {"bright": 0.25}})
    ...     again = StressScores(f"{folder}/scores.csv", ["bright"], settings)
    >>> again.of("ab")
    {('blur', 2.0): {'bright': 0.25}}
    """

    def __init__(
        self,
        path: str | Path | None,
        scorers: Sequence[str] | np.ndarray,
        settings: dict[Any, Any],
    ) -> None:
        self.path = None if path is None else Path(path)
        self.scorers = list(scorers)
        self.columns = [*_SETTINGS, *_ROW, *self.scorers, _CHECK]
        given = {**settings, "version": CHANGES_VERSION}
        self._settings = [_text(given[name]) for name in _SETTINGS]
        self._known: dict[str, dict] = {}
        self._rows: list[list[str]] = []  # of the file, as it was read
        if self.path is not None and self.path.exists():
            self._read()

    def of(self, content: str) -> dict:
        """Return the scores of a video's content.

        Parameters
        ----------
        content : str
            Its digest.

        Returns
        -------
        dict of (str, float) to dict of str to float
            By change and strength, P(fake) by scorer.
        """
        return self._known.setdefault(content, {})

    def add(self, content: str, video: str, scores: dict) -> None:
        """Add scores of one video, and write them at once.

        Parameters
        ----------
        content : str
            Digest of the video.
        video : str
            Its name.
        scores : dict of (str, float) to dict of str to float
            By change and strength, P(fake) by scorer.
        """
        self.of(content).update(scores)
        if self.path is None:
            return
        lines = []
        for (change, strength), found in scores.items():
            row = [*self._settings, content, video, change, _text(float(strength))]
            row += [_text(found[name]) for name in self.scorers]
            lines.append([*row, _check(row)])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        with (
            naming(self.path),
            open(
                self.path,
                "a",
                encoding="utf-8",
                errors="backslashreplace",
                newline="",
            ) as file,
        ):
            file.write(_csv([self.columns] * is_new + lines))
            file.flush()
            os.fsync(file.fileno())

    def rename(self, contents: dict[str, str]) -> None:
        """Have rows in the file named as their videos are now.

        A row of another content under a name of now is said to be of another.

        Parameters
        ----------
        contents : dict of str to str
            By the name of each video, its digest.
        """
        names: dict[str, list[str]] = {}
        for name, content in contents.items():
            names.setdefault(content, []).append(name)
        content_at, name_at = len(_SETTINGS), len(_SETTINGS) + 1
        changed = False
        for row in self._rows:
            own, said = names.get(row[content_at]), row[name_at]
            if own is not None and said not in own:
                row[name_at] = own[0]
            elif own is None and said in contents:
                row[name_at] = f"{said} (another content)"
            if row[name_at] != said:
                row[-1], changed = _check(row[:-1]), True
        if changed:
            write_text(self.path, _csv([self.columns, *self._rows]))

    def _read(self):
        """Take the rows of these settings; leave out what is damaged."""
        check_file(self.path, ValueError)
        text = self.path.read_text(encoding="utf-8", errors="replace")
        header = _csv([self.columns])
        if not header.startswith(text) and not text.startswith(header):
            (found, *_) = [*_rows(text), []]
            raise ValueError(
                f"{self.path} has other columns ({', '.join(found)}) than the scores "
                f"of this model ({', '.join(self.columns)}); give another file"
            )
        _, *rows = [*_rows(text), *[[]] * (text == "")]
        whole = [row for row in rows if row and _check(row[:-1]) == row[-1]]
        others, self._rows = 0, whole
        for row in whole:
            if row[: len(_SETTINGS)] != self._settings:
                others += 1
                continue
            content, _, change, strength = row[len(_SETTINGS) :][: len(_ROW)]
            scores = row[len(_SETTINGS) + len(_ROW) : -1]
            self.of(content)[change, float(strength)] = {
                name: float(score) if score else np.nan
                for name, score in zip(self.scorers, scores, strict=True)
            }
        if text != _csv([self.columns, *whole]):
            self._write_again(whole, len(rows) - len(whole))
        if others:
            warnings.warn(
                f"{self.path} also has {others} rows of another model, other seconds, "
                "another seed or another version; they stay in it and are not used",
                DeepfakeEnsembleWarning,
                stacklevel=4,
            )

    def _write_again(self, whole, n_damaged):
        """Write the file without its damaged rows, whole or not at all."""
        write_text(self.path, _csv([self.columns, *whole]))
        if n_damaged:
            warnings.warn(
                f"{self.path} was cut short or damaged: {n_damaged} of its rows are "
                "computed again",
                DeepfakeEnsembleWarning,
                stacklevel=5,
            )


def model_digest(model: DeepfakeEnsemble) -> str:
    """Return what stands for a fitted ensemble where it scores videos.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str
        Hexadecimal; of another fit, detector, combiner or prior another one.

    Raises
    ------
    ValueError
        If a detector cannot be described, as a lambda cannot.
    """
    parts = [
        joblib.hash(
            [model.combiner_, model.calibrator_, model.prior, model.unscorable],
            hash_name="sha1",
        )
    ]
    for name, found in model.detectors_.items():
        for member in found if isinstance(found, list) else [found]:
            try:
                parts.append(f"{name} {_described(member)}")
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                raise ValueError(
                    f"scores of {name} cannot be found again in a file: {error}; give "
                    "it a function or class of a module, or leave the file of scores "
                    "out"
                ) from error
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _described(detector):
    if isinstance(detector, FrozenEstimator):
        detector = detector.estimator
    if not hasattr(detector, "get_state"):
        function = getattr(detector, "function", None)
        return fingerprint(detector) + (fingerprint(function) if function else "")
    params = with_fingerprints(detector.get_params(deep=False))
    for name in _NOT_OF_SCORES:
        params.pop(name, None)
    described = joblib.hash([params, detector.get_state(portable=False)], "sha1")
    return f"{type(detector).__module__}.{type(detector).__qualname__} {described}"


def _check(fields):
    return hashlib.sha256(
        "\x1f".join(fields).encode("utf-8", "backslashreplace")
    ).hexdigest()[:12]


def _csv(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _rows(text):
    """Rows of a CSV up to the first that is none."""
    rows = []
    try:
        rows.extend(csv.reader(io.StringIO(text, newline="")))
    except csv.Error:  # so long a field can only be damage
        return rows
    return rows


def _text(value):
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)
