"""Names of an ensemble's detectors, and their parameters by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_member_names(names: Iterable[str], parameters: Iterable[str]) -> None:
    """Refuse names of detectors that `set_params` could not tell from parameters.

    Parameters
    ----------
    names : iterable of str
    parameters : iterable of str
        Those of the ensemble.

    Raises
    ------
    ValueError
        For a name that is no string or empty, is there twice, is that of a parameter,
        or holds ``__``: what scikit-learn refuses in its ensembles.

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
