"""Names that settings of detectors take, at hand without loading what they name."""

VIEWS = ("frame", "face", "crop")  # what a detector looks at
SAMPLINGS = ("even", "keyframes")  # which frames of a video it sees
# What of a network learns, by `FrameDetector`.
TRAINED_PARTS = ("full", "norm", "lora", "last_stage", "last_blocks", "head")
FEATURES = ("last", "middle")  # of a network, for its head
HEADS = ("linear", "normalised")
COMPRESSIONS = ("raw", "c23", "c40")  # levels of `base_models.video.quality`

# The status of a video:
SCORED = "scored"  # by every detector
PARTIAL = "partial"  # some detectors have no score
UNSCORABLE = "unscorable"  # there is none
STATUSES = (SCORED, PARTIAL, UNSCORABLE)

ENGINES = ("dask", "ray")  # of batch runs, beside joblib's backends
