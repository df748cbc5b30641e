"""Certificates hold in a simulation, doubts included, and the simulation is right."""

import importlib
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble.cascade.settling import Settling

BENCHMARKS = Path(__file__).resolve().parents[3] / "examples" / "benchmarks"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def simulation():
    """The benchmark that draws populations and counts broken certificates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("certificates")


@pytest.fixture(scope="module")
def model_and_new(simulation):
    population = simulation.POPULATIONS["usual"]
    draw = np.random.default_rng(3)
    train, new = population.draw(population.n_groups, draw), population.draw(40, draw)
    table = pd.concat([train, new], ignore_index=True)
    return simulation.fitted(table, len(train), "soft", 0.05), new, len(train)


@pytest.mark.parametrize("doubts", [True, False])
def test_what_is_simulated_is_what_judge_does(simulation, model_and_new, doubts):
    model, new, n_train = model_and_new
    rows = range(n_train, n_train + len(new))
    judged = model.judge([simulation.video(row) for row in rows], doubts=doubts)
    table = new[[f"p_{name}" for name in simulation.NAMES]]
    table = table.set_axis(simulation.NAMES, axis=1).set_axis(judged.index)
    settling = Settling(model, doubts)
    found = simulation.settled_rows(settling, table)
    asked = judged["members_asked"].str.split(", ").str.len()
    assert np.where(found, found, 4).tolist() == asked.tolist()
    assert 0 < (found > 0).sum() < len(found)
    left = simulation.as_left(table, found, settling.cascade.order)
    said = simulation.verdicts(model, left, doubts)
    assert said.tolist() == judged["verdict"].tolist()


def test_rows_that_the_library_settles_otherwise_are_an_error(
    simulation, model_and_new
):
    model, new, _ = model_and_new
    table = new[[f"p_{name}" for name in simulation.NAMES]].set_axis(
        simulation.NAMES, axis=1
    )
    settling = Settling(model, doubts=True)
    found = simulation.settled_rows(settling, table)
    simulation.check(settling, table, found)
    found[0] = 1 if found[0] != 1 else 2
    with pytest.raises(RuntimeError, match="is settled after"):
        simulation.check(settling, table, found)


def test_a_certificate_of_a_margin_that_was_not_tested_is_seen_to_be_broken(
    simulation, model_and_new
):
    """The count can fail: who stops at once differs far too often."""
    model, _, _ = model_and_new
    new = simulation.POPULATIONS["hard"].draw(200, np.random.default_rng(4))
    promised = simulation.of_new(model, True, new)[0]
    cascade = model.cascade_
    kept = dict(cascade.limits)
    try:
        for key, limit in kept.items():
            cascade.limits[key] = replace(limit, margin=-50.0)
        broken = simulation.of_new(model, True, new)[0]
    finally:
        cascade.limits.update(kept)
    assert promised < 0.05 < broken


def counted(simulation, population, combiner, seeds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [
            {"population": population, "combiner": combiner} | row
            for seed in seeds
            for row in simulation.repeat(
                simulation.POPULATIONS[population], combiner, seed
            )
        ]
    return simulation.summary_of(pd.DataFrame(rows))


@pytest.mark.parametrize("combiner", ["soft", "logistic"])
def test_of_a_few_certificates_hardly_any_is_broken(simulation, combiner):
    found = counted(simulation, "usual", combiner, range(1000, 1002))
    assert (found["broken"] <= 1).all()  # of 2 with 5 % each, both: 0.3 %
    assert found["certified"].sum() > 0
    assert (found["asked"].dropna() < 4).all()  # or the promise would be empty


@pytest.mark.slow
@pytest.mark.parametrize(
    ("population", "combiner"),
    [
        ("usual", "soft"),
        ("usual", "logistic"),
        ("hard, single videos", "soft"),
    ],
)
def test_of_300_certificates_with_doubts_and_without_no_more_are_broken_than_may_be(
    simulation, population, combiner
):
    """At most 24: with a chance of 5 % each, 300 break more in 1 % of simulations."""
    found = counted(simulation, population, combiner, range(300))
    assert simulation.most_broken(300) == 24
    assert (found["repeats"] == 300).all()
    assert (found["broken"] <= 24).all()
    assert (found["certified"] > 150).all()
    assert (found["asked"] < 3.9).all()


class Reasons(dict):
    """Reasons of scores that count how often pandas copies them."""

    copies = 0

    def __deepcopy__(self, memo):
        Reasons.copies += 1
        return self


def test_reasons_of_many_settled_videos_are_not_copied_for_each_of_them(
    simulation, model_and_new
):
    model, copies = model_and_new[0], []
    for n in (10, 40):
        scores = np.random.default_rng(0).random((n, 4))
        table = pd.DataFrame(scores, columns=simulation.NAMES)
        table.attrs["reason"], Reasons.copies = Reasons(), 0
        model.judge_scores(table)
        copies.append(Reasons.copies)
    assert copies[0] == copies[1]
