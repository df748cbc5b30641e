from .curves import (
    mean_curve as mean_curve,
    plot_det as plot_det,
    plot_reliability as plot_reliability,
    plot_roc as plot_roc,
    plot_score_distribution as plot_score_distribution,
    rows_of_videos as rows_of_videos,
)
from .members import (
    plot_contributions as plot_contributions,
    plot_correlation as plot_correlation,
    plot_weights as plot_weights,
)
from .strategies import (
    plot_by_value as plot_by_value,
    plot_strategies as plot_strategies,
)
from .stress import plot_stress as plot_stress
from .style import save_figure as save_figure
