"""Runs networks of a fitted ensemble in fewer bits where that changes no verdict."""

from __future__ import annotations

import contextlib
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

from base_models.inference.engines import int8_is_here
from base_models.inference.processor import has_bfloat16
from base_models.inputs import Videos, as_videos
from base_models.scoring import walk_videos
from base_models.store.in_use import store_in_use
from base_models.store.store import resolve_store
from ensemble.verdicts.member_scores import whole_table
from ensemble.verdicts.threshold_and_prior import to_probability

BITS = {"bfloat16": 16, "int8": 8}  # engines of fewer bits
DRIFT = 0.01  # of P(fake)
_FEWEST = 20  # videos with a score, to measure a drift on
_TIMED = 3  # of them, on which it is timed
_QUICKER = 1.1  # times as fast, from which fewer bits are worth it
_RANGED = 16  # videos at most, on which ranges for 8 bits are found


def lean_engines(model: Any, videos: Videos, drift: float = DRIFT) -> pd.DataFrame:
    """Give members ``engine="bfloat16"`` or ``"int8"`` as far as P(fake) stays.

    Each video is scored by all members in full precision, in 16 bits and in 8, as far
    as this processor reckons with them. Of the engines that make a member quicker,
    which is timed here and now, the quickest is taken with which P(fake) of the
    ensemble moves by no more than `drift` on any of the videos, and no verdict of the
    threshold changes: all that is taken is measured together, and members that alone
    can move it least come first. The others stay as they are. What is shown on these
    videos is no promise for others: give videos like those to come.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted. Copies of the detectors that are taken, with their own ``engine`` set,
        become its members at the end; the detectors themselves stay as they are.
    videos : sequence
        20 or more with a score. On every other one, 16 at most, the ranges are found
        that 8 bits need.
    drift : float, default=0.01
        How far P(fake) of the ensemble may move on any video.

    Returns
    -------
    DataFrame of shape (n_detectors,)
        By detector: ``engine`` it has now; ``drift``, the largest difference that this
        engine of this detector alone makes to P(fake) of the ensemble; ``times``, how
        many times as fast it is with it; ``note``, why it stays as it was. Then both
        figures of each engine that was tried, such as ``int8_drift``; where a detector
        stays as it was, ``drift`` and ``times`` are those of the quickest of them.
        ``attrs["drift"]`` is that of all that were taken,
        ``attrs["n_videos"]`` the number of videos it was measured on.

    Raises
    ------
    ValueError
        If fewer than 20 videos have a score, or `drift` is no number above 0.
    RuntimeError
        If this processor does not reckon with fewer bits, so that nothing would be
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
    names = [n for n, f in model.detectors_.items() if any(map(_has_engine, _list(f)))]
    engines = _engines_here()
    if names and not engines:
        raise RuntimeError(
            "this processor reckons neither with bfloat16 (avx512_bf16, amx_bf16 or "
            "ARM's bf16) nor with 8 bits (avx512_vnni, avx_vnni or asimddp; with the "
            "extra 'onnx'), or does not say so: fewer bits would make nothing quicker "
            "here"
        )
    full_model = _model_with(model, None)
    full = whole_table(full_model, videos)
    whole = _p_fake(model, full)
    scored = [video for video, p in zip(videos, whole, strict=True) if np.isfinite(p)]
    if len(scored) < _FEWEST:
        raise ValueError(
            f"{_FEWEST} or more videos with a score are needed to measure how far "
            f"fewer bits move it; {len(scored)} of {len(videos)} have one"
        )
    lean = {engine: _model_with(model, engine) for engine in engines if names}
    if "int8" in lean:
        _find_ranges(lean["int8"], scored[::2][:_RANGED])
    tables = {engine: whole_table(one, videos) for engine, one in lean.items()}
    times = _times_as_fast(names, full_model, lean, scored[:_TIMED])
    taken, alone = _taken(model, full, tables, whole, drift, times)
    model.detectors_ = {
        name: (lean[taken[name]] if name in taken else full_model).detectors_[name]
        for name in model.detectors_
    }
    return _report(model, full, tables, whole, taken, alone, times)


def _engines_here():
    here = {"bfloat16": has_bfloat16(), "int8": int8_is_here()}
    return [engine for engine in BITS if here[engine]]


def _model_with(model, engine):
    """Return the ensemble with members of an engine; None is what they had."""
    one = copy.copy(model)
    one.detectors_ = {n: _with(found, engine) for n, found in model.detectors_.items()}
    return one


def _find_ranges(model, videos):
    """Give all members of an ensemble the ranges that 8 bits need."""
    with store_in_use(resolve_store(model.store)):
        for found in model.detectors_.values():
            for detector in map(_inner, _list(found)):
                if _has_engine(detector) and hasattr(detector, "find_ranges"):
                    with contextlib.suppress(ValueError):  # none shows a face
                        detector.find_ranges(videos)


def _times_as_fast(names, full_model, lean, videos):
    """Return how many times as fast a detector is, by detector and engine."""
    times = {}
    for name in names:
        full = _list(full_model.detectors_[name])
        at = next(place for place, one in enumerate(full) if _has_engine(one))
        views = list(walk_videos([full[at]], videos, full_model.store))
        took = _seconds(full[at], views)
        times[name] = {
            engine: took / _seconds(_list(one.detectors_[name])[at], views)
            for engine, one in lean.items()
        }
    return times


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


def _taken(model, full, tables, whole, drift, times):
    """Return the engine to take by member, and how far each alone moves P(fake)."""
    alone = {
        name: {
            engine: _moved(whole, _p_fake(model, full.assign(**{name: table[name]})))
            for engine, table in tables.items()
        }
        for name in times
    }
    verdicts, taken = model.thresholds_.verdicts(whole), {}
    for name in sorted(alone, key=lambda name: min(alone[name].values())):
        quicker = [one for one in times[name] if not times[name][one] < _QUICKER]
        for engine in sorted(quicker, key=lambda one: -times[name][one]):
            tried = {**taken, name: engine}
            p_fake = _p_fake(model, _mixed(full, tables, tried))
            same = (model.thresholds_.verdicts(p_fake) == verdicts).all()
            if same and _moved(whole, p_fake) <= drift:
                taken = tried
                break
    return taken, alone


def _mixed(full, tables, taken):
    """Return the scores where some members run on other engines."""
    return full.assign(**{name: tables[one][name] for name, one in taken.items()})


def _report(model, full, tables, whole, taken, alone, times):
    rows = {}
    for name, found in model.detectors_.items():
        tried = times.get(name, {})
        note = "" if name in taken else "P(fake) or a verdict would move too far"
        if not tried:
            note = "it runs no network by itself"
        elif all(each < _QUICKER for each in tried.values()):
            bits = " or ".join(str(BITS[engine]) for engine in tried)
            note = f"it is not quicker in {bits} bits"
        shown = taken.get(name) or max(tried, key=tried.get, default=None)
        engines = {_inner(one).engine for one in _list(found) if _has_engine(one)}
        rows[name] = {
            "engine": ", ".join(sorted(engines)),
            "drift": alone[name][shown] if tried else np.nan,
            "times": tried[shown] if tried else np.nan,
            "note": note,
        }
        for engine in tables:
            rows[name][f"{engine}_drift"] = alone.get(name, {}).get(engine, np.nan)
            rows[name][f"{engine}_times"] = tried.get(engine, np.nan)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("detector")
    table.attrs = {
        "drift": _moved(whole, _p_fake(model, _mixed(full, tables, taken))),
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

    "auto" in place of fewer bits, which are measured anew.
    """
    if isinstance(found, list):
        return [_with(one, engine) for one in found]
    if not _has_engine(found):
        return found
    one = copy.copy(_inner(found))
    one.set_params(engine=engine or ("auto" if one.engine in BITS else one.engine))
    return FrozenEstimator(one) if isinstance(found, FrozenEstimator) else one
