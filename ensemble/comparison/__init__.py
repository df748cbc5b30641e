"""Compares strategies on the same videos: is the ensemble worth it, will it hold?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
