"""Only an old path of `ensemble.comparison.protocols`; goes in the next release."""

from ensemble.comparison.protocols import *  # noqa: F403
