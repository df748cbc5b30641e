"""Fits detectors on every fold and scores each video by those that missed it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
