"""Names that settings of detectors take, at hand without loading what they name."""

VIEWS = ("frame", "face", "crop")  # what a detector looks at
TRAINED_PARTS = ("full", "last_stage", "head")  # of a network, by `FrameDetector`
COMPRESSIONS = ("raw", "c23", "c40")  # levels of `base_models.video.quality`
