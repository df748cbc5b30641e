"""Only another path of `ensemble.out_of_fold.training_set`, where the code is."""

from ensemble.out_of_fold.training_set import *  # noqa: F403
