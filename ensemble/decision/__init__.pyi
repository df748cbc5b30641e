from .error_rates import (
    rate_interval as rate_interval,
    verdict_rates as verdict_rates,
)
from .prior import adjust_prior as adjust_prior
from .rules import (
    Decision as Decision,
    ThreeWayDecision as ThreeWayDecision,
)
from .thresholds import (
    hoeffding_bentkus as hoeffding_bentkus,
    threshold_at_false_alarm_rate as threshold_at_false_alarm_rate,
    threshold_by_balanced_accuracy as threshold_by_balanced_accuracy,
    threshold_by_cost as threshold_by_cost,
)
