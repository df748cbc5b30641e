"""Only another path of the modules of `base_models.networks` below."""

from base_models.networks.backbones import *  # noqa: F403
from base_models.networks.preprocessing import *  # noqa: F403
from base_models.networks.weights import *  # noqa: F403
