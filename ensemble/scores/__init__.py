"""Score tables: one row a video, one column a detector, NaN for a missing score."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
