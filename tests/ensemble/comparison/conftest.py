"""One comparison that several tests look at."""

import pytest
from made_scores import QUICK, some_scores

from ensemble import compare_strategies


@pytest.fixture(scope="module")
def found():
    scores, y, groups, metadata = some_scores()
    return compare_strategies(
        scores, y, groups, QUICK, metadata, repeats=2, n_boot=200, n_folds=3
    )
