"""Base detectors: a video goes in, one P(fake) per detector comes out."""

import lazy_loader

# Loaded when first used: who reads a video needs no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
