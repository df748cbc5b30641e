"""From a path, a folder of images or an array to frames, and back to a file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
