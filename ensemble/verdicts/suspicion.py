"""What the score of a model is called: P(fake), or a suspicion after reals alone."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from ensemble.choices import P_FAKE, SUSPICION

NO_TRACES = (
    "no traces of a fake above the limit, which does not make it real: the model "
    "learned from real videos alone"
)


def score_column(model: Any) -> str:
    """Return the column that holds an ensemble's score.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str
        ``suspicion`` after a fit on real videos alone, else ``p_fake``.
    """
    return SUSPICION if model.fit_record_.reals_alone else P_FAKE


def column_in(found: Container[str]) -> str:
    """Return which of the two columns is in a table, or key in a dict.

    Examples
    --------
    >>> from ensemble.verdicts.suspicion import column_in
    >>> column_in({"suspicion": 0.2, "verdict": "UNSURE"})
    'suspicion'
    """
    return SUSPICION if SUSPICION in found else P_FAKE


def renamed(thing: Any, old: str, new: str) -> Any:
    """Return nested dicts and lists with one key called otherwise, and ``*_key``.

    Examples
    --------
    >>> from ensemble.verdicts.suspicion import renamed
    >>> renamed({"p_fake": 0.2, "faces": [{"face_p_fake": 0.3}]}, "p_fake", "suspicion")
    {'suspicion': 0.2, 'faces': [{'face_suspicion': 0.3}]}
    """
    if isinstance(thing, dict):
        return {
            (
                key.removesuffix(old) + new
                if key == old or key.endswith(f"_{old}")
                else key
            ): renamed(value, old, new)
            for key, value in thing.items()
        }
    if isinstance(thing, list):
        return [renamed(one, old, new) for one in thing]
    return thing
