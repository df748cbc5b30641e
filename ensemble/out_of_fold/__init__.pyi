from .fitting import (
    OutOfFold as OutOfFold,
    fit_over_splits as fit_over_splits,
    out_of_fold_scores as out_of_fold_scores,
)
from .prefit import is_prefit as is_prefit
from .table import out_of_fold_table as out_of_fold_table
from .tasks import (
    cpu_threads as cpu_threads,
    jobs_that_fit as jobs_that_fit,
    make_views_ready as make_views_ready,
    prepare as prepare,
)
