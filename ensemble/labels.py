"""Only another path of `ensemble.scores.labels`, where the code is."""

from ensemble.scores.labels import *  # noqa: F403
