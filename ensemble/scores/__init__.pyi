from .files import (
    read_scores as read_scores,
    write_scores as write_scores,
)
from .table import (
    check_complete as check_complete,
    companions as companions,
    concat_scores as concat_scores,
    reasons as reasons,
    score_table as score_table,
)
