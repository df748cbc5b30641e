"""Another name of `ensemble.decision.named_thresholds`; goes in the next release."""

from ensemble.decision.named_thresholds import *  # noqa: F403
