"""Combiners by name."""

import pytest
from sklearn.linear_model import LogisticRegression

from ensemble.combiners import (
    Combiner,
    Voting,
    resolve_combiner,
)

NAMES = (
    *("log_odds", "soft", "mean", "weighted", "hard", "majority", "median", "rank"),
    *("max", "min", "trimmed", "logistic", "lightgbm", "mlp", "optimized"),
    *("calibrated", "best_single", "greedy", "dynamic", "bagging", "auto"),
)


@pytest.mark.parametrize(
    "name",
    [*NAMES, "log-odds", "Log odds"],
)
def test_combiners_by_name(name):
    combiner = resolve_combiner(name, random_state=3)
    assert isinstance(combiner, Combiner)
    assert getattr(combiner, "random_state", 3) == 3


def test_objects_are_combiners_as_they_are():
    combiner = LogisticRegression()
    assert resolve_combiner(combiner) is combiner


@pytest.mark.parametrize(
    ("combiner", "error", "message"),
    [
        ("logistc", ValueError, "did you mean 'logistic'"),
        (Voting, TypeError, "must be a name or an object"),
        (3, TypeError, "must be a name or an object"),
    ],
)
def test_unknown_combiners_are_refused(combiner, error, message):
    with pytest.raises(error, match=message):
        resolve_combiner(combiner)
