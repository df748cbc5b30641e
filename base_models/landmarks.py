"""Another name of `base_models.faces.landmarks`."""

from base_models.faces.landmarks import *  # noqa: F403
