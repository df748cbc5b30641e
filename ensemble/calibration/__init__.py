"""Calibration: makes P(fake) mean what it says, on scores not seen in fit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
