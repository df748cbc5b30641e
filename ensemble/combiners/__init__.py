"""Combiners: scores of several detectors go in, one score comes out."""

from ensemble.combiners.base import Combiner
from ensemble.combiners.names import resolve_combiner
from ensemble.combiners.stacking import Stacking
from ensemble.combiners.voting import Voting

__all__ = ["Combiner", "Stacking", "Voting", "resolve_combiner"]
