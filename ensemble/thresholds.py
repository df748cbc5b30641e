"""Only an old path of the modules below; goes in the next release."""

from ensemble.decision.named_thresholds import *  # noqa: F403
from ensemble.decision.prior import *  # noqa: F403
from ensemble.verdicts.threshold_and_prior import *  # noqa: F403
