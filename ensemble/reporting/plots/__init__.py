"""Plots of scores and strategies: plain matplotlib functions that return the axes.

Each draws on the axes it is given, or on new ones, in the colours and type that
matplotlib is set to. scikit-learn's displays draw what they know.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
