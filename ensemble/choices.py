"""Names that settings of ensembles take, at hand without loading what they name."""

FACES_POOLINGS = ("largest", "worst", "mean")  # of `DeepfakeEnsemble`
NESTINGS = ("stored", "exact")  # of `compare_strategies`
