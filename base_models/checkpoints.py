"""Only another path of `base_models.networks.checkpoints`, and of what it uses."""

from base_models.networks.checkpoint_cards import *  # noqa: F403
from base_models.networks.checkpoints import *  # noqa: F403
from base_models.runtime.file_digest import *  # noqa: F403
