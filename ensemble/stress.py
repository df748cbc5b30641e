"""Only an old path of `ensemble.inspection.stress`; goes in the next release."""

from ensemble.inspection.stress import *  # noqa: F403
