"""Ensembles of deepfake detectors: scores go in, one decision comes out."""

import lazy_loader

# Loaded when first used: who combines scores from a CSV needs no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
