"""Where a split turns: the fewest groups, the last row, nothing moved without need."""

import warnings

import numpy as np
import pytest

from ensemble.resampling import GroupHoldout, StratifiedGroupFolds, identity_groups
from ensemble.resampling.leak_check import split_rows
from ensemble.resampling.splitters import _with_both_classes


@pytest.mark.parametrize("n_splits", [1, 0, 2.5, "3"])
def test_folds_are_whole_numbers_from_two(n_splits):
    y, groups = [0, 1] * 4, np.repeat(range(4), 2)
    with pytest.raises(ValueError, match="n_splits must be a whole number of folds"):
        list(StratifiedGroupFolds(n_splits).split(y, y, groups))
    assert len(list(StratifiedGroupFolds(2).split(y, y, groups))) == 2


def test_the_rarer_class_needs_two_groups_for_a_hold_out():
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    holdout = GroupHoldout(0.5, random_state=0)
    assert holdout.get_n_splits() == 1
    with pytest.raises(ValueError, match="each class in two groups or more"):
        list(holdout.split(None, [1, 0, 0, 0, 0, 0, 0, 0], groups))
    ((train, test),) = holdout.split(None, [1, 0, 1, 0, 0, 0, 0, 0], groups)
    assert sorted([*train, *test]) == list(range(8))


def test_only_groups_that_bring_a_missing_class_are_moved():
    counts = np.array([[2, 0], [1, 0], [1, 0], [0, 2], [0, 1], [0, 1]])
    for side in (np.zeros(6, bool), np.arange(6) == 0):
        moved = _with_both_classes(side, counts, np.arange(6))
        assert np.flatnonzero(moved).tolist() == [0, 3]
    # the other side keeps each class: its last fakes stay there
    counts = np.array([[1, 1], [0, 1], [1, 0]])
    moved = _with_both_classes(np.array([False, True, False]), counts, np.arange(3))
    assert moved.tolist() == [False, True, True]


@pytest.mark.parametrize("rows", [[4], [-1], [0, 99]])
def test_a_row_behind_the_last_is_refused(rows):
    splits = _Given([([0, 1, 2, 3], rows)])
    with pytest.raises(ValueError, match=r"row (4|-1|99) in the test part is outside"):
        split_rows(splits, [0, 1, 0, 1], None)


class _Given:
    def __init__(self, splits):
        self.splits = splits

    def split(self, X, y, groups):
        return self.splits


def test_people_of_a_set_come_in_one_order_whatever_the_set():
    videos = [{"b", "a"}, {"a", "b"}, ("b", "a"), "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert identity_groups(videos, "target").tolist() == ["a", "a", "b", "c"]


def test_one_video_of_two_people_is_no_large_group_and_two_are():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert identity_groups([("a", "b")]).tolist() == ["a"]
    with pytest.warns(UserWarning, match="2 of 2 videos are in one group"):
        identity_groups([("a", "b"), "a"])
