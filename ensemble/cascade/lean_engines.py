"""Runs the networks of a fitted ensemble in 16 bits where that changes no verdict."""

from __future__ import annotations

import re
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
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
        Fitted; the ``engine`` of its detectors is set.
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
    ['it runs no network']
    """
    check_is_fitted(model)
    if not (isinstance(drift, int | float) and 0 < drift < 1):
        raise ValueError(f"drift must be a number between 0 and 1; got {drift!r}")
    videos = as_videos(videos)
    networks = {name: _with_engines(found) for name, found in model.detectors_.items()}
    if any(networks.values()) and not has_bfloat16():
        raise RuntimeError(
            "this processor does not reckon with bfloat16 (avx512_bf16, amx_bf16 or "
            "ARM's bf16), or does not say so: 16 bits would make nothing quicker here"
        )
    before = [one.get_params() for found in networks.values() for one, _ in found]
    _restore(networks, before)
    full = whole_table(model, videos)
    whole = _p_fake(model, full)
    n_scored = int(np.isfinite(whole).sum())
    if n_scored < _FEWEST:
        raise ValueError(
            f"{_FEWEST} or more videos with a score are needed to measure how far 16 "
            f"bits move it; {n_scored} of {len(videos)} have one"
        )
    try:
        for found in networks.values():
            _set(found, LEAN)
        lean = whole_table(model, videos)
    finally:
        _restore(networks, before)
    scored = [video for video, p in zip(videos, whole, strict=True) if np.isfinite(p)]
    times = _times_as_fast(model, networks, scored[:_TIMED])
    taken, alone = _taken(model, full, lean, whole, drift, times)
    for name in taken:
        _set(networks[name], LEAN)
    return _report(model, full, lean, whole, taken, alone, networks, times)


def _times_as_fast(model, networks, videos):
    """Return how many times as fast members are in 16 bits, by their name."""
    times = {}
    for name, found in networks.items():
        if not found:
            continue
        one, names = found[0]
        if not hasattr(one, "score_views"):  # it hands videos on
            times[name] = np.nan
            continue
        views = list(walk_videos([one], videos, model.store))
        engine = one.get_params()[names[0]]
        took = {e: _seconds([(one, names)], e, views) for e in (engine, LEAN)}
        _set([(one, names)], engine)
        times[name] = took[engine] / took[LEAN]
    return times


def _seconds(found, engine, views):
    """Return CPU seconds of scoring views by one detector, the least of three times."""
    ((one, _),) = found
    _set(found, engine)
    kept, took = one.get_params().get("store"), []
    try:
        for _ in range(4):  # the first one compiles
            with tempfile.TemporaryDirectory() as folder:
                one.set_params(store=folder)
                began = time.process_time()
                for seen in views:
                    one.score_views(seen, {})
                took.append(time.process_time() - began)
    finally:
        one.set_params(store=kept)
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


def _report(model, full, lean, whole, taken, alone, networks, times):
    rows = {}
    for name, found in networks.items():
        note = "" if name in taken else "P(fake) or a verdict would move too far"
        if times.get(name, np.nan) < _QUICKER:
            note = "it is not quicker in 16 bits"
        engines = {
            e for one, _ in found for e in _engines_of(one.get_params()).values()
        }
        rows[name] = {
            "engine": ", ".join(sorted(engines)),
            "drift": alone.get(name, np.nan),
            "times": times.get(name, np.nan),
            "note": note if found else "it runs no network",
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


def _with_engines(found):
    """Return the detectors of a name that run networks, and their parameters."""
    members = found if isinstance(found, list) else [found]
    return [
        (one, list(_engines_of(one.get_params())))
        for one in members
        if hasattr(one, "get_params") and _engines_of(one.get_params())
    ]


def _engines_of(params):
    return {
        name: value
        for name, value in params.items()
        if re.search(r"(^|__)engine$", name)
    }


def _restore(networks, before):
    """Give detectors the engines that they had, or "auto" in place of 16 bits."""
    everybody = [one for found in networks.values() for one, _ in found]
    for one, params in zip(everybody, before, strict=True):
        had = _engines_of(params)
        one.set_params(**{n: "auto" if e == LEAN else e for n, e in had.items()})


def _set(found, engine):
    for one, names in found:
        one.set_params(**dict.fromkeys(names, engine))
