"""Names of an ensemble's detectors, and their parameters by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ensemble.choices import P_FAKE, SUSPICION

# What stands beside detectors' scores in tables of scores and of verdicts.
_BESIDE = (
    "video", "label", "group", "fold", "reason", "status", "verdict", "doubts", P_FAKE,
    SUSPICION, "members_asked",
)  # fmt: skip


def check_member_names(names: Iterable[str], parameters: Iterable[str]) -> None:
    """Refuse names of detectors that name other things in parameters or in tables.

    Parameters
    ----------
    names : iterable of str
    parameters : iterable of str
        Those of the ensemble.

    Raises
    ------
    ValueError
        For a name that is no string or empty, is there twice, is that of a parameter,
        or holds ``__``: what scikit-learn refuses in its ensembles. For one that is a
        column beside the scores, such as ``verdict``, and for ``<name>_reason``, where
        a table says why ``<name>`` has no score.

    Examples
    --------
    >>> check_member_names(["xception_face"], ["threshold"])
    >>> check_member_names(["threshold"], ["threshold"])
    Traceback (most recent call last):
    ValueError: a detector cannot be called 'threshold', as a parameter of the \
ensemble is; give it another name
    """
    names, parameters = list(names), set(parameters)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a detector's name must be a text; got {name!r}")
        if name in parameters:
            raise ValueError(
                f"a detector cannot be called {name!r}, as a parameter of the ensemble "
                "is; give it another name"
            )
        if "__" in name:
            raise ValueError(
                f"a detector's name must not hold '__', which stands between it and "
                f"its parameters; got {name!r}"
            )
        of_other = name.removesuffix("_reason")
        if name in _BESIDE or (of_other != name and of_other in names):
            raise ValueError(
                f"a detector cannot be called {name!r}: tables have a column of that "
                "name beside the scores; give it another name"
            )
        if names.count(name) > 1:
            raise ValueError(
                f"detectors must have different names; {name!r} is there twice"
            )


def member_params(named: list[Any]) -> dict:
    """Return detectors by name, and their parameters as ``<name>__<parameter>``.

    Parameters
    ----------
    named : list of (str, detector)

    Returns
    -------
    dict
    """
    params = dict(named)
    for name, detector in named:
        if hasattr(detector, "get_params"):
            nested = detector.get_params(deep=True)
            params |= {f"{name}__{key}": value for key, value in nested.items()}
    return params
