from .identities import identity_groups as identity_groups
from .leak_check import (
    LeakError as LeakError,
    clean_groups as clean_groups,
    split_rows as split_rows,
)
from .names import (
    averages_replicas as averages_replicas,
    resolve_resampling as resolve_resampling,
    scores_are as scores_are,
)
from .splitters import (
    GroupBootstrap as GroupBootstrap,
    GroupHoldout as GroupHoldout,
    StratifiedGroupFolds as StratifiedGroupFolds,
    group_codes as group_codes,
)
