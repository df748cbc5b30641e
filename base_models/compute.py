"""Another name of `base_models.runtime.devices`."""

from base_models.runtime.devices import *  # noqa: F403
