"""Another name of `ensemble.scores.labels`."""

from ensemble.scores.labels import *  # noqa: F403
