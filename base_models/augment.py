"""Only another path of `base_models.augmentation.augment`, where the code is."""

from base_models.augmentation.augment import *  # noqa: F403
