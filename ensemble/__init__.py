"""Ensembles of deepfake detectors: scores go in, one decision comes out."""

import lazy_loader

# Loaded when first used: who combines scores from a CSV needs no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_version": ["__version__"],
        "artifact": ["load"],
        "comparison": ["compare_strategies"],
        "deepfake_ensemble": ["DeepfakeEnsemble"],
        "errors": ["CheckpointError", "LeakError", "UnscorableVideoError"],
        "onnx_members": ["export_members"],
        "orientation": ["invert_scores"],
        "out_of_fold": ["out_of_fold_scores"],
        "scan": ["scan_video"],
        "scores": ["read_scores", "write_scores"],
        "stress": ["stress_test"],
    },
)
