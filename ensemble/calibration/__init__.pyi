from .calibrator import (
    Calibrator as Calibrator,
    check_method as check_method,
)
from .cross_fitting import cross_fitted_scores as cross_fitted_scores
