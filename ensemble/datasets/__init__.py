"""Data sets of videos and labels: read from disk, or forged on the spot."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
