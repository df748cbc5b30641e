"""Combiners by name."""

import pytest
from sklearn.linear_model import LogisticRegression

from ensemble.combiners import (
    Combiner,
    Voting,
    resolve_combiner,
)
from ensemble.combiners.registry import (
    combiner_name,
    combiner_names,
    named_strategies,
    strategy_label,
    strategy_labels,
)
from ensemble.combiners.strategies import chosen_strategies, split_strategies

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


@pytest.mark.slow
def test_every_name_and_label_means_one_combiner_to_all_who_take_names():
    every = named_strategies(3)
    assert strategy_labels() == list(every)
    for written in [*combiner_names(), *strategy_labels()]:
        combiner = resolve_combiner(written, 3)
        compared = chosen_strategies([written], [], 3)[strategy_label(written)]
        assert repr(compared) == repr(combiner), written
        short = combiner_name(written)
        assert short in combiner_names()  # so that it can be given by comma
        assert repr(resolve_combiner(short, 3)) == repr(combiner), written
        if written in every:
            assert repr(every[written]) == repr(combiner), written


def test_names_by_comma_may_be_labels_with_one():
    labels = strategy_labels()
    assert split_strategies(", ".join(labels)) == labels
    assert split_strategies("Soft,,log odds") == ["Soft", "log odds"]
