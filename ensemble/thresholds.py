"""Another name of what moved to the modules below; goes in the next release."""

from ensemble.decision.named_thresholds import *  # noqa: F403
from ensemble.decision.prior import *  # noqa: F403
from ensemble.verdicts.grounds import *  # noqa: F403
