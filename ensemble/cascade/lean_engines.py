"""Runs the networks of a fitted ensemble in 16 bits where that changes no verdict."""

from __future__ import annotations

import copy
import numbers
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from base_models.inference.engines import has_bfloat16
from base_models.inputs import Videos, as_videos
from base_models.scoring import walk_videos
from ensemble.verdicts.member_scores import whole_table
from ensemble.verdicts.threshold_and_prior import to_probability

LEAN = "bfloat16"
DRIFT = 0.01  # of P(fake)
_FEWEST = 20  # videos with a score, to measure a drift on
_TIMED = 3  # of them, on which it is timed
_QUICKER = 1.1  # times as fast, from which 16 bits are worth it


def lean_engines(model: Any, videos: Videos, drift: float = DRIFT) -> pd.DataFrame:
    """Give members ``engine="bfloat16"`` as far as P(fake) stays where it was.

    Each video is scored by all members in full precision and in 16 bits. Of the members
    that are quicker in 16 bits, which is timed here and now, those are taken first that
    alone move P(fake) of the ensemble least, as long as all that are taken together
    move it by no more than `drift` on any of the videos and change no verdict of the
    threshold. The others stay as they are. What is shown on these videos is no promise
    for others: give videos like those to come.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted. Copies of the detectors that are taken, with their own ``engine`` set,
        become its members at the end; the detectors themselves stay as they are.
    videos : sequence
        20 or more with a score.
    drift : float, default=0.01
        How far P(fake) of the ensemble may move on any video.

    Returns
    -------
    DataFrame of shape (n_detectors,)
        By detector: ``engine`` it has now; ``drift``, the largest difference that
        16 bits of this detector alone make to P(fake) of the ensemble; ``times``, how
        many times as fast it is in them; ``note``, why it stays as it was.
        ``attrs["drift"]`` is that of all that were taken,
        ``attrs["n_videos"]`` the number of videos it was measured on.

    Raises
    ------
    ValueError
        If fewer than 20 videos have a score, or `drift` is no number above 0.
    RuntimeError
        If this processor does not reckon with bfloat16, so that nothing would be
        quicker.

    Examples
    --------
    >>> from base_models import FrequencyDetector
    >>> from ensemble import DeepfakeEnsemble, lean_engines
    >>> rng = np.random.default_rng(0)
    >>> videos = [rng.integers(0, 256, (4, 48, 48, 3), np.uint8) for _ in range(20)]
    >>> model = DeepfakeEnsemble([FrequencyDetector("frame", 32)], resampling=2)
    >>> model = model.fit(videos, np.arange(20) % 2, groups=np.arange(20) // 2)
    >>> lean_engines(model, videos)["note"].tolist()
    ['it runs no network by itself']
    """
    check_is_fitted(model)
    is_number = isinstance(drift, numbers.Real) and not isinstance(drift, bool)
    if not (is_number and 0 < drift < 1):
        raise ValueError(f"drift must be a number between 0 and 1; got {drift!r}")
    videos = as_videos(videos)
    full_model, lean_model = copy.copy(model), copy.copy(model)
    full_model.detectors_ = {n: _with(f, None) for n, f in model.detectors_.items()}
    lean_model.detectors_ = {n: _with(f, LEAN) for n, f in model.detectors_.items()}
    names = [n for n, f in model.detectors_.items() if any(map(_has_engine, _list(f)))]
    if names and not has_bfloat16():
        raise RuntimeError(
            "this processor does not reckon with bfloat16 (avx512_bf16, amx_bf16 or "
            "ARM's bf16), or does not say so: 16 bits would make nothing quicker here"
        )
    full = whole_table(full_model, videos)
    whole = _p_fake(model, full)
    scored = [video for video, p in zip(videos, whole, strict=True) if np.isfinite(p)]
    if len(scored) < _FEWEST:
        raise ValueError(
            f"{_FEWEST} or more videos with a score are needed to measure how far 16 "
            f"bits move it; {len(scored)} of {len(videos)} have one"
        )
    lean = whole_table(lean_model, videos)
    times = {
        name: _times_as_fast(
            _list(full_model.detectors_[name]), _list(lean_model.detectors_[name]),
            scored[:_TIMED], model.store,
        )
        for name in names
    }  # fmt: skip
    taken, alone = _taken(model, full, lean, whole, drift, times)
    model.detectors_ = {
        name: (lean_model if name in taken else full_model).detectors_[name]
        for name in model.detectors_
    }
    return _report(model, full, lean, whole, taken, alone, times)


def _times_as_fast(full, lean, videos, store):
    """Return how many times as fast a detector is in 16 bits."""
    at = next(place for place, one in enumerate(full) if _has_engine(one))
    views = list(walk_videos([full[at]], videos, store))
    return _seconds(full[at], views) / _seconds(lean[at], views)


def _seconds(detector, views):
    """Return CPU seconds of scoring views by a detector, the least of three times."""
    detector, took = _inner(detector), []
    timed = copy.copy(detector)
    for _ in range(4):  # the first one compiles
        with tempfile.TemporaryDirectory() as folder:
            timed.set_params(store=folder)
            began = time.process_time()
            for seen in views:
                timed.score_views(seen, {})
            took.append(time.process_time() - began)
    return max(min(took[1:]), 1e-9)


def _taken(model, full, lean, whole, drift, times):
    """Return the members to take, and how far each alone moves P(fake)."""
    alone = {
        name: _moved(whole, _p_fake(model, full.assign(**{name: lean[name]})))
        for name in times
    }
    quicker = [name for name in alone if not times[name] < _QUICKER]
    verdicts, taken = model.thresholds_.verdicts(whole), []
    for name in sorted(quicker, key=lambda name: alone[name]):
        tried = [*taken, name]
        p_fake = _p_fake(model, full.assign(**{one: lean[one] for one in tried}))
        same = (model.thresholds_.verdicts(p_fake) == verdicts).all()
        if same and _moved(whole, p_fake) <= drift:
            taken = tried
    return taken, alone


def _report(model, full, lean, whole, taken, alone, times):
    rows = {}
    for name, found in model.detectors_.items():
        note = "" if name in taken else "P(fake) or a verdict would move too far"
        if name not in times:
            note = "it runs no network by itself"
        elif times[name] < _QUICKER:
            note = "it is not quicker in 16 bits"
        engines = {_inner(one).engine for one in _list(found) if _has_engine(one)}
        rows[name] = {
            "engine": ", ".join(sorted(engines)),
            "drift": alone.get(name, np.nan),
            "times": times.get(name, np.nan),
            "note": note,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("detector")
    together = _p_fake(model, full.assign(**{name: lean[name] for name in taken}))
    table.attrs = {
        "drift": _moved(whole, together),
        "n_videos": int(np.isfinite(whole).sum()),
    }
    return table


def _p_fake(model: Any, table: pd.DataFrame) -> NDArray:
    return to_probability(model, model.combiner_.fake_score(table))


def _moved(before, after):
    """Return the largest difference; infinite where a score comes or goes."""
    if (np.isnan(before) != np.isnan(after)).any():
        return np.inf
    return float(np.nanmax(np.abs(after - before)))


def _list(found):
    return found if isinstance(found, list) else [found]


def _inner(detector):
    return detector.estimator if isinstance(detector, FrozenEstimator) else detector


def _has_engine(detector):
    """Whether a detector runs a network itself; one may also hand videos on."""
    inner = _inner(detector)
    return hasattr(inner, "score_views") and "engine" in getattr(
        inner, "get_params", dict
    )(deep=False)


def _with(found, engine):
    """Return copies of a name's detectors with an engine; None is what they had.

    "auto" in place of 16 bits, which are measured anew.
    """
    if isinstance(found, list):
        return [_with(one, engine) for one in found]
    if not _has_engine(found):
        return found
    one = copy.copy(_inner(found))
    one.set_params(engine=engine or ("auto" if one.engine == LEAN else one.engine))
    return FrozenEstimator(one) if isinstance(found, FrozenEstimator) else one
