"""Names that settings take: whoever offers them loads nothing of what they name."""

FACES_POOLINGS = ("largest", "worst", "mean")  # of `DeepfakeEnsemble`
NESTINGS = ("stored", "exact")  # of `compare_strategies`
PROTOCOLS = (  # those that `ensemble.comparison.protocols` registers
    "group-kfold",
    "group-holdout",
    "leave-method-out",
    "leave-source-out",
    "leave-dataset-out",
    "time-holdout",
)
