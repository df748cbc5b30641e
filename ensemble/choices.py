"""Names that settings take: whoever offers them loads nothing of what they name."""

FACES_POOLINGS = ("largest", "worst", "mean")  # of `DeepfakeEnsemble`
NESTINGS = ("stored", "exact")  # of `compare_strategies`
