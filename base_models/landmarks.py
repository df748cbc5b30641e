"""Only another path of `base_models.faces.landmarks`, where the code is."""

from base_models.faces.landmarks import *  # noqa: F403
