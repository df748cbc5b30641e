"""What asking a member costs: counted, or given, and never timed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from sklearn.frozen import FrozenEstimator

from base_models.naming import did_you_mean


def check_cascade(cascade: Any, costs: Any) -> None:
    """Refuse what is no cascade and what are no costs.

    Parameters
    ----------
    cascade : None, "exact" or float
    costs : dict of str to float or None

    Raises
    ------
    ValueError, TypeError
    """
    rate = isinstance(cascade, numbers.Real) and not isinstance(cascade, bool)
    if not (cascade is None or cascade == "exact" or (rate and 0 < cascade < 1)):
        hint = did_you_mean(cascade, ["exact"]) if isinstance(cascade, str) else ""
        raise ValueError(
            "cascade must be None, 'exact' or the share of videos whose verdict may "
            f"differ from the full ensemble's, between 0 and 1; got {cascade!r}{hint}"
        )
    if costs is None:
        return
    if not isinstance(costs, Mapping):
        raise TypeError(
            f"member_costs must be a dict of names to numbers; got {costs!r}"
        )
    for name, cost in costs.items():
        if not (isinstance(cost, numbers.Real) and 0 <= cost < math.inf):
            raise ValueError(f"member_costs[{name!r}] must be >= 0; got {cost!r}")


def parse_cascade(text: str) -> float | str | None:
    """Read what a command line asks for.

    Parameters
    ----------
    text : str

    Returns
    -------
    None, "exact" or float

    Examples
    --------
    >>> parse_cascade("0.005"), parse_cascade("exact"), parse_cascade("none")
    (0.005, 'exact', None)
    """
    if text.lower() == "none":
        return None
    try:
        cascade: Any = float(text)
    except ValueError:
        cascade = text
    check_cascade(cascade, None)
    return cascade


def member_costs(model: Any) -> dict[str, float] | None:
    """Return what each member of a fitted ensemble costs for a video.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    dict of str to float or None
        As ``member_costs`` says, else ``cost_`` or ``cost`` of the detector, else the
        multiply-adds of its network. None where one of these is not known: such
        numbers cannot be compared, and all count alike.
    """
    given = model.member_costs or {}
    unknown = set(given) - set(model.detectors_)
    if unknown:
        name = min(unknown)
        raise ValueError(
            f"member_costs names {name!r}, which is no member"
            + did_you_mean(name, model.detectors_)
        )
    costs = {}
    for name, members in model.detectors_.items():
        if name in given:
            costs[name] = float(given[name])
            continue
        members = members if isinstance(members, list) else [members]
        parts = [_cost_of(member) for member in members]
        if None in parts:
            return None
        costs[name] = float(sum(parts))
    return costs


def _cost_of(member):
    if isinstance(member, FrozenEstimator):
        member = member.estimator
    for name in ("cost_", "cost"):
        cost = getattr(member, name, None)
        if isinstance(cost, numbers.Real) and 0 <= cost < math.inf:
            return float(cost)
    if not hasattr(member, "multiply_adds"):
        return None
    return member.multiply_adds()
