"""Another name of `base_models.augmentation.augment`."""

from base_models.augmentation.augment import *  # noqa: F403
