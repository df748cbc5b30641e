"""Combiners: scores of several detectors go in, one score comes out."""

from ensemble.combiners.auto import AutoCombiner
from ensemble.combiners.bagging import Bagging
from ensemble.combiners.base import Combiner
from ensemble.combiners.blending import Blending
from ensemble.combiners.dynamic_selection import DynamicSelection
from ensemble.combiners.greedy_selection import GreedySelection
from ensemble.combiners.optimized_weights import OptimizedWeights
from ensemble.combiners.registry import resolve_combiner
from ensemble.combiners.spread_log_odds import SpreadLogOdds
from ensemble.combiners.stacking import Stacking
from ensemble.combiners.voting import Voting

__all__ = [
    "AutoCombiner",
    "Bagging",
    "Blending",
    "Combiner",
    "DynamicSelection",
    "GreedySelection",
    "OptimizedWeights",
    "SpreadLogOdds",
    "Stacking",
    "Voting",
    "resolve_combiner",
]
