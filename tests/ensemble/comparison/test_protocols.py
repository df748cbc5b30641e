import numpy as np
import pandas as pd
import pytest

from ensemble.protocols import PROTOCOLS, inner_folds, protocol_splits


def some_videos():
    """48 groups of five: two reals, a fake of each of three methods; four sources."""
    groups = np.arange(48).repeat(5)
    y = np.tile([0, 0, 1, 1, 1], 48)
    metadata = pd.DataFrame(
        {
            "method": np.tile(["real", None, "swap", "puppet", "lips"], 48),
            "source": np.array(["tv", "web", "phone", "lab"])[groups // 12],
            "dataset": np.array(["one", "two"])[groups // 24],
            "family": np.tile(
                [None, None, "face swap", "reenactment", "reenactment"], 48
            ),
            "compression": np.array(["c23", "c40"])[groups % 2],
            "time": pd.date_range("2020-01-01", periods=240).to_numpy(),
        }
    )
    return y, groups, metadata


def splits_of(protocol, **kwargs):
    y, groups, metadata = some_videos()
    defaults = {"n_folds": 4, "repeats": 1, "random_state": 0}
    return protocol_splits(protocol, y, groups, metadata, **{**defaults, **kwargs})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_group_and_no_row_is_on_both_sides(protocol):
    y, groups, _ = some_videos()
    splits, _ = splits_of(protocol)
    assert splits
    for split in splits:
        assert not set(groups[split.train]) & set(groups[split.test])
        assert set(y[split.train]) == {0, 1}
        assert len(split.test)


def test_folds_judge_every_video_once_a_repeat():
    splits, _ = splits_of("group-kfold", repeats=3)
    for repeat in range(3):
        rows = np.concatenate([s.test for s in splits if s.repeat == repeat])
        assert sorted(rows) == list(range(240))
    first = [[s.test.tolist() for s in splits if s.repeat == r] for r in range(3)]
    assert first[0] != first[1] != first[2]


def test_a_method_left_out_is_learned_from_nowhere():
    y, groups, metadata = some_videos()
    splits, _ = splits_of("leave-method-out")
    assert {split.name for split in splits} == {"swap", "puppet", "lips"}
    for name in ("swap", "puppet", "lips"):
        own = [split for split in splits if split.name == name]
        judged = np.concatenate([split.test for split in own])
        expected = np.flatnonzero((metadata["method"] == name) | (y == 0))
        assert sorted(judged) == expected.tolist()
        for split in own:
            assert name not in set(metadata["method"][split.train])
            kept = ~np.isin(groups, groups[split.test]) & (metadata["method"] != name)
            assert split.train.tolist() == np.flatnonzero(kept).tolist()


@pytest.mark.parametrize(("column", "n"), [("source", 4), ("dataset", 2)])
def test_what_is_left_out_is_judged_whole_by_all_else(column, n):
    _, _, metadata = some_videos()
    splits, _ = splits_of(f"leave-{column}-out")
    assert len(splits) == n
    for split in splits:
        value = metadata[column].to_numpy()
        assert split.test.tolist() == np.flatnonzero(value == split.name).tolist()
        assert split.train.tolist() == np.flatnonzero(value != split.name).tolist()


def test_groups_that_are_also_in_what_is_left_out_are_not_learned_from():
    y, groups, metadata = some_videos()
    groups[60] = 0  # someone of the web is also on tv
    splits, _ = protocol_splits("leave-source-out", y, groups, metadata, 4, 1, 0)
    tv = next(split for split in splits if split.name == "tv")
    assert 60 not in tv.train
    assert 61 in tv.train


def test_one_data_set_can_be_named_to_test_on():
    splits, _ = splits_of("leave-dataset-out", hold_out=["two"])
    assert [split.name for split in splits] == ["two"]
    with pytest.raises(ValueError, match="hold_out names 'three'"):
        splits_of("leave-dataset-out", hold_out=["three"])


def test_later_videos_are_judged_by_what_came_before():
    _, groups, metadata = some_videos()
    splits, notes = splits_of("time-holdout")
    ((split),) = splits
    last_learned = metadata["time"].iloc[split.train].max()
    assert last_learned < metadata["time"].iloc[split.test].min()
    assert 0.28 < len(split.test) / 240 < 0.32
    splits, notes = splits_of("time-holdout", hold_out="2020-06-03")
    ((split),) = splits
    assert metadata["time"].iloc[split.test].min() == pd.Timestamp("2020-06-03")
    straddles = groups[split.test.min()]  # a group with videos on both sides
    assert straddles not in groups[split.train]
    assert notes["left aside"] == (groups[: split.test.min()] == straddles).sum() > 0


def test_years_and_a_column_called_date_do_as_well():
    y, groups, metadata = some_videos()
    metadata = pd.DataFrame({"date": 2000 + groups // 8})
    splits, notes = protocol_splits("time-holdout", y, groups, metadata, 4, 1, 0, 2004)
    ((split),) = splits
    assert notes["first judged"] == "2004"
    assert (metadata["date"].iloc[split.test] >= 2004).all()


def test_a_hold_out_has_its_share():
    splits, _ = splits_of("group-holdout", hold_out=0.25, repeats=2)
    assert [len(split.test) for split in splits] == [60, 60]
    assert splits[0].test.tolist() != splits[1].test.tolist()


def test_inner_folds_keep_groups_and_are_the_outer_ones_where_there_are_any():
    y, groups, _ = some_videos()
    for protocol in PROTOCOLS:
        for split in splits_of(protocol)[0]:
            fold = inner_folds(split, y, groups, 4, 0)
            for number in np.unique(fold):
                own = set(groups[split.train[fold == number]])
                assert not own & set(groups[split.train[fold != number]])
            assert (split.inner is None) == (len(np.unique(fold)) == 4)


def test_what_lacks_a_class_is_not_judged_and_said_so():
    y, groups, metadata = some_videos()
    metadata.loc[(metadata["source"] == "lab") & (y == 0), "source"] = "tv"
    with pytest.warns(UserWarning, match="not judged: lab: no real to judge"):
        splits, notes = protocol_splits(
            "leave-source-out", y, groups, metadata, 4, 1, 0
        )
    assert notes["not judged"] == {"lab": "no real to judge"}
    assert "lab" not in {split.name for split in splits}


@pytest.mark.parametrize(
    ("protocol", "change", "message"),
    [
        ("leave-one-out", {}, "protocol must be one of"),
        ("leave-method-out", {"method": None}, "needs metadata with a column 'method'"),
        ("leave-source-out", {"source": "tv"}, "two or more of them"),
        ("leave-source-out", {"source": np.arange(240)}, "240 sources, too many"),
        ("leave-method-out", {"method": [None] * 240}, "one for every fake; 144 have"),
        ("time-holdout", {"time": [None, *range(239)]}, "1 of 240 have none"),
        ("leave-source-out", {"repeats": 2}, "draws nothing"),
    ],
)
def test_what_cannot_be_done_is_said(protocol, change, message):
    y, groups, metadata = some_videos()
    repeats = change.pop("repeats", 1)
    for column, value in change.items():
        if value is None:
            metadata = metadata.drop(columns=column)
        else:
            metadata[column] = value
    with pytest.raises(ValueError, match=message):
        protocol_splits(protocol, y, groups, metadata, 4, repeats, 0)


def test_nothing_that_can_be_judged_is_an_error():
    y, _, metadata = some_videos()
    metadata["source"] = np.where(y == 1, "fakes", "reals")
    with pytest.raises(ValueError, match="nothing can be judged"):
        protocol_splits("leave-source-out", y, np.arange(240), metadata, 4, 1, 0)


@pytest.mark.parametrize("protocol", ["group-kfold", "leave-method-out"])
def test_folds_of_a_table_are_judged_by_turns_and_others_drawn_after(protocol):
    _, groups, _ = some_videos()
    own = groups % 4
    splits, _ = splits_of(protocol, own_fold=own, repeats=2)
    for split in splits:
        assert (len(set(own[split.test])) == 1) == (split.repeat == 0)
        if split.repeat == 0:
            assert set(own[split.test]) == {split.fold}
            assert split.fold not in own[split.train]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda groups, y: groups % 3,  # not as many as were asked for
        lambda groups, y: np.arange(240) % 4,  # groups in several
        lambda groups, y: np.where(groups == 5, -1, groups % 4),  # a video in none
        lambda groups, y: np.where(
            y == 1, 0, 1 + groups % 3
        ),  # one class to learn from
    ],
)
def test_folds_that_cannot_be_judged_by_turns_are_drawn_anew(spoilt):
    y, groups, _ = some_videos()
    drawn, _ = splits_of("group-kfold")
    splits, _ = splits_of("group-kfold", own_fold=spoilt(groups, y))
    for one, other in zip(splits, drawn, strict=True):
        np.testing.assert_array_equal(one.test, other.test)
