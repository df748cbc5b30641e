"""Only another path of `base_models.faces.tracking`, where the code is."""

from base_models.faces.tracking import *  # noqa: F403
