from .compare import compare_strategies as compare_strategies
from .result import Comparison as Comparison
