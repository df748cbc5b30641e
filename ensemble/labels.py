"""Only another path of the labels of `base_models.inputs`, where the code is."""

from ensemble.scores.labels import *  # noqa: F403
