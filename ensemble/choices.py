"""Words that settings take and tables hold, at hand without loading what they name."""

from base_models.choices import (
    PARTIAL as PARTIAL,
    SCORED as SCORED,
    UNSCORABLE as UNSCORABLE,
)

FACES_POOLINGS = ("largest", "worst", "mean")  # of `DeepfakeEnsemble`
MISSING = ("refuse", "drop", "keep")  # of `load_dataset`, as are those below
DUPLICATES = ("refuse", "warn", "allow")
PREPARED_FORMATS = ("png", "jpg", "webdataset")  # of `prepare_dataset`
ON_ERROR = ("raise", "skip")  # of `DeepfakeEnsemble` and `compare_strategies`
NESTINGS = ("stored", "exact")  # of `compare_strategies`
FORGERIES = ("LandmarkSwap", "BlendedRegion", "LipReenactment", "SelfBlend")

FAKE, REAL, UNSURE = "FAKE", "REAL", "UNSURE"
TRACES = "FAKE TRACES"  # of a model that learned from real videos alone; or UNSURE
ACCUSING = (FAKE, TRACES)
NO_VERDICT = ""  # without a score
VERDICTS = (FAKE, REAL, UNSURE, NO_VERDICT, TRACES)
P_FAKE, SUSPICION = "p_fake", "suspicion"  # columns of scores; the second after reals
