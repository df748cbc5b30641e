from .bootstrap_intervals import (
    Interval as Interval,
    group_bootstrap_interval as group_bootstrap_interval,
)
from .loss_and_accuracy import (
    accuracy as accuracy,
    balanced_accuracy as balanced_accuracy,
    brier as brier,
    evaluate as evaluate,
    expected_calibration_error as expected_calibration_error,
    log_loss as log_loss,
)
from .member_diversity import (
    diversity as diversity,
    oracle_accuracy as oracle_accuracy,
)
from .ranking import (
    auc as auc,
    auc_interval as auc_interval,
    average_precision as average_precision,
    equal_error_rate as equal_error_rate,
    tpr_at_fpr as tpr_at_fpr,
)
from .significance import (
    DelongResult as DelongResult,
    McnemarResult as McnemarResult,
    delong_test as delong_test,
    mcnemar_test as mcnemar_test,
)
