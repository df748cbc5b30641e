"""Only an old path of `ensemble.reporting.plots`; goes in the next release."""

from ensemble.reporting.plots import *  # noqa: F403
