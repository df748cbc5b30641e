"""Another name of `ensemble.out_of_fold.training_set`."""

from ensemble.out_of_fold.training_set import *  # noqa: F403
