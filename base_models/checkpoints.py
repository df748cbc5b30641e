"""Another name of `base_models.networks.checkpoints`."""

from base_models.networks.checkpoints import *  # noqa: F403
