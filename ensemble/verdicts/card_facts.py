"""What of a model's card no stored score can tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble.metrics.bootstrap_intervals import Interval
from ensemble.verdicts.video_profile import TrainingProfile


@dataclass
class CardFacts:
    """What of a card no stored score can tell, and what is costly to measure again.

    Attributes
    ----------
    data, rights, toy, fitted_on, version, profile
        As in `ModelCard`.
    described : bool
        Whether `data` is what somebody said, and not a name that was found.
    auc : Interval or None
        None where it was not measured yet.
    problem : str
        Why it cannot be measured.
    cards : dict
        Cards that were made, by threshold and prior; not kept.
    """

    data: str = ""
    rights: str = ""
    described: bool = False
    toy: bool = False
    fitted_on: str | None = None
    version: str | None = None
    profile: TrainingProfile | None = None
    auc: Interval | None = None
    problem: str = ""
    cards: dict = field(default_factory=dict, repr=False)
    _kept = ("data", "rights", "described", "toy", "fitted_on", "version", "problem")

    def to_dict(self) -> dict[Any, Any]:
        """Return what JSON can hold."""
        kept = {name: getattr(self, name) for name in self._kept}
        auc = None if self.auc is None else plain(list(self.auc))
        profile = None if self.profile is None else self.profile.to_dict()
        return kept | {"auc": auc, "profile": profile}

    @classmethod
    def from_dict(cls, known: dict[Any, Any] | None) -> CardFacts:
        """Return what `to_dict` wrote; what is not recorded stays unknown.

        Parameters
        ----------
        known : dict or None
            None in files of earlier versions.

        Returns
        -------
        CardFacts
        """
        known = known or {}
        facts = cls(**{name: known[name] for name in cls._kept if name in known})
        if known.get("auc") is not None:
            ends = [np.nan if end is None else float(end) for end in known["auc"]]
            facts.auc = Interval(*ends)
        if known.get("profile") is not None:
            facts.profile = TrainingProfile.from_dict(known["profile"])
        return facts


def plain(thing: Any) -> Any:
    """Return what JSON can hold: NaN is None, NumPy's numbers are Python's."""
    if isinstance(thing, dict):
        return {key: plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [plain(value) for value in thing]
    if isinstance(thing, np.generic):
        thing = thing.item()
    return None if isinstance(thing, float) and np.isnan(thing) else thing
