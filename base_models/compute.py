"""Only another path of `base_models.runtime.devices`, where the code is."""

from base_models.runtime.devices import *  # noqa: F403
