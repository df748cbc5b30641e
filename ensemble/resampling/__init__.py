"""Folds, hold-outs and bootstrap replicas, none of which splits a group."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
