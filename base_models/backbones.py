"""Another name of modules of `base_models.networks`."""

from base_models.networks.backbones import *  # noqa: F403
from base_models.networks.preprocessing import *  # noqa: F403
from base_models.networks.weights import *  # noqa: F403
