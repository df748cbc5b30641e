"""Protocols of the field: families of forgeries, compressions, data sets crossed."""

import numpy as np
import pandas as pd
import pytest

from ensemble import compare_strategies
from ensemble.comparison.protocols import protocol_splits
from ensemble.datasets.families import FAMILIES, family_of


def some_videos():
    """24 groups of five videos, each in two compressions; two data sets."""
    groups = np.arange(24).repeat(10)
    methods = ["none", "none", "Deepfakes", "FaceSwap", "NeuralTextures"]
    metadata = pd.DataFrame(
        {
            "method": np.tile(methods, 48),
            "compression": np.tile(np.repeat(["c23", "c40"], 5), 24),
            "dataset": np.array(["one", "two"])[groups % 2],
        }
    )
    return (metadata["method"] != "none").to_numpy(int), groups, metadata


def splits_of(protocol, metadata=None):
    y, groups, known = some_videos()
    metadata = known if metadata is None else metadata
    return protocol_splits(protocol, y, groups, metadata, 4, 1, 0)[0]


def test_a_family_that_is_left_out_is_learned_from_nowhere():
    y, _, metadata = some_videos()
    family = metadata["method"].map(family_of).fillna("").to_numpy()
    splits = splits_of("leave-family-out")
    assert {split.name for split in splits} == {"face swap", "reenactment"}
    for split in splits:
        assert split.name not in set(family[split.train])
        assert {f for f in family[split.test] if f} == {split.name}
        assert set(y[split.test]) == set(y[split.train]) == {0, 1}


def test_one_family_is_learned_from_and_the_others_are_judged():
    _, _, metadata = some_videos()
    family = metadata["method"].map(family_of).fillna("").to_numpy()
    for split in splits_of("one-family"):
        name = split.name.removeprefix("learned from ")
        assert {f for f in family[split.train] if f} == {name}
        assert {f for f in family[split.test] if f} == {*FAMILIES} & {*family} - {name}


def test_each_compression_is_learned_from_and_judged():
    _, groups, metadata = some_videos()
    level = metadata["compression"].to_numpy()
    splits = splits_of("compression-grid")
    assert {s.name for s in splits} == {
        "c23 on c23", "c23 on c40", "c40 on c23", "c40 on c40"
    }  # fmt: skip
    for split in splits:
        assert f"{level[split.train][0]} on {level[split.test][0]}" == split.name
        assert len({*level[split.train]}) == len({*level[split.test]}) == 1
        assert not {*groups[split.train]} & {*groups[split.test]}
    judged = np.concatenate([s.test for s in splits if s.name == "c23 on c40"])
    assert sorted(judged) == np.flatnonzero(level == "c40").tolist()


def test_reals_of_one_data_set_are_judged_against_fakes_of_another():
    y, _, metadata = some_videos()
    dataset = metadata["dataset"].to_numpy()
    splits = splits_of("cross-auc")
    own = [s for s in splits if s.name == "reals of one, fakes of two"]
    judged = np.concatenate([split.test for split in own])
    expected = np.where(y == 1, dataset == "two", dataset == "one")
    assert sorted(judged) == np.flatnonzero(expected).tolist()
    assert len({split.name for split in splits}) == 2


def test_a_method_of_no_known_family_is_named():
    _, _, metadata = some_videos()
    metadata = metadata.replace({"method": {"FaceSwap": "mine"}})
    with pytest.raises(ValueError, match=r"methods \['mine'\]; say it in a column"):
        splits_of("leave-family-out", metadata)
    family = np.where(metadata["method"] == "mine", "warp", "other")
    splits = splits_of("leave-family-out", metadata.assign(family=family))
    assert {split.name for split in splits} == {"warp", "other"}


@pytest.fixture(scope="module")
def comparison():
    y, groups, metadata = some_videos()
    noise = np.random.default_rng(0).normal(1 - 2 * y, 1.5, (2, len(y)))
    scores = pd.DataFrame(1 / (1 + np.exp(noise.T)), columns=["a", "b"])
    scores.loc[:19, "b"] = np.nan
    return scores, compare_strategies(
        scores, y, groups, "mean", metadata, "compression-grid", n_boot=20, n_folds=3
    )


@pytest.mark.slow
def test_a_grid_is_measured_cell_by_cell(comparison):
    _, found = comparison
    cells = found.by_value.query("axis == 'held out' and strategy == 'a'")["value"]
    assert sorted(cells) == ["c23 on c23", "c23 on c40", "c40 on c23", "c40 on c40"]
    said = found.to_dict()
    assert said["how"]["protocol"] == "compression-grid"
    assert said["how"]["coverage"] == pytest.approx(220 / 240)
    assert {row["axis"] for row in said["error_rates"]} == {
        "method", "compression", "dataset"
    }  # fmt: skip


@pytest.mark.slow
def test_error_rates_are_those_of_a_loop(comparison):
    scores, found = comparison
    _, _, metadata = some_videos()
    rates = found.error_rates(["compression", "method"])
    for level, method in (("c23", "Deepfakes"), ("c40", "none")):
        here = (metadata["compression"] == level) & (metadata["method"] == method)
        own = scores["b"][here].dropna()
        row = rates.loc[(level, method, "b")]
        kind, other = ("false_alarms", "misses") if method == "none" else (
            "misses", "false_alarms"
        )  # fmt: skip
        wrong = (own > 0.5) != (method != "none")
        assert row[kind] == pytest.approx(wrong.mean())
        assert np.isnan(row[other])
        assert row["reals"] + row["fakes"] == 2 * len(own)  # judged after either
        assert row["unscored"] == 2 * (here.sum() - len(own))
    with pytest.raises(ValueError, match="error rates need columns of the metadata"):
        found.error_rates("camera")


@pytest.mark.slow
def test_a_run_that_lost_videos_fails_where_it_must_not(comparison):
    scores, _ = comparison
    y, groups, _ = some_videos()
    with pytest.raises(ValueError, match=r"min_coverage=0.95 asks for: b 220 of 240"):
        compare_strategies(scores, y, groups, "mean", n_boot=20, min_coverage=0.95)
    compare_strategies(scores, y, groups, "mean", n_boot=20, min_coverage=0.9)
