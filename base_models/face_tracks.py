"""Another name of `base_models.faces.tracking`."""

from base_models.faces.tracking import *  # noqa: F403
