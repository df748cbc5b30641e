"""What a detector looks at: whole frames, or crops around a face."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
