"""Base detectors: a video goes in, one P(fake) per detector comes out."""

import lazy_loader

# Loaded when first used: who reads a video needs no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augment": ["Augmentation"],
        "curves": ["plot_curves"],
        "detectors.base": ["VideoDetector", "ViewDetector"],
        "compression": ["estimate_qp"],
        "detectors.by_compression": ["CompressionRouter"],
        "detectors.checkpoint": ["PrefitDetector", "load_checkpoint"],
        "detectors.frame": ["FrameDetector"],
        "detectors.flicker": ["FlickerDetector"],
        "detectors.frequency": ["FrequencyDetector"],
        "detectors.function": ["CallableDetector"],
        "detectors.geometry": ["GeometryDetector"],
        "detectors.temporal": ["LSTMDetector"],
        "detectors.torch_module": ["TorchDetector"],
        "errors": [
            "CheckpointError",
            "DivergedError",
            "SlowFitWarning",
            "UnscorableVideoError",
            "VideoReadError",
        ],
        "faces": [
            "DlibFaceFinder",
            "Face",
            "FaceFinder",
            "HaarFaceFinder",
            "NoFaceError",
            "YuNetFaceFinder",
        ],
        "onnx_export": ["export_onnx"],
        "pooling": ["pool_scores"],
        "pseudo_fakes": ["PseudoFakes"],
        "recipe": ["TrainingRecipe"],
        "scoring": ["score_videos"],
        "store": ["Store"],
        "video": [
            "iter_frames",
            "list_videos",
            "probe_video",
            "sample_frames",
            "write_video",
        ],
        "views": ["View", "ViewRecipe"],
    },
)
