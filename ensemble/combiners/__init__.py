"""Combiners: scores of several detectors go in, one score comes out."""

from ensemble.combiners.auto import AutoCombiner
from ensemble.combiners.bagging import Bagging
from ensemble.combiners.base import Combiner
from ensemble.combiners.blending import Blending
from ensemble.combiners.dynamic import DynamicSelection
from ensemble.combiners.names import resolve_combiner
from ensemble.combiners.selection import GreedySelection
from ensemble.combiners.stacking import Stacking
from ensemble.combiners.voting import Voting
from ensemble.combiners.weights import OptimizedWeights

__all__ = [
    "AutoCombiner",
    "Bagging",
    "Blending",
    "Combiner",
    "DynamicSelection",
    "GreedySelection",
    "OptimizedWeights",
    "Stacking",
    "Voting",
    "resolve_combiner",
]
