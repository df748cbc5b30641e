import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)

from ensemble.resampling import (
    GroupBootstrap,
    GroupHoldout,
    LeakError,
    StratifiedGroupFolds,
    group_codes,
    resolve_resampling,
    split_rows,
)

SPLITTERS = [
    StratifiedGroupFolds(3, random_state=0),
    GroupHoldout(0.3, random_state=0),
    GroupBootstrap(10, random_state=0),
]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
@pytest.mark.parametrize("grouped", [True, False])
def test_one_class_is_split_by_group_as_two_are(splitter, grouped):
    groups = some_groups()[1] if grouped else None
    codes = group_codes(groups, len(some_groups()[0]))
    splits = split_rows(splitter, np.zeros(len(codes), int), groups)
    assert len(splits) == splitter.get_n_splits()
    for train, test in splits:
        assert not set(codes[train]) & set(codes[test])
    if isinstance(splitter, StratifiedGroupFolds):
        tested = np.concatenate([test for _, test in splits])
        assert sorted(tested) == list(range(len(codes)))
        sizes = [len(test) for _, test in splits]
        assert max(sizes) - min(sizes) <= 3  # no group is larger


def test_too_few_groups_of_one_class_are_counted():
    with pytest.raises(ValueError, match="the only class is in 2: use n_splits=2"):
        list(StratifiedGroupFolds(3).split(None, [0] * 4, [0, 0, 1, 1]))
    with pytest.raises(ValueError, match="the only class is in 1: add videos"):
        list(GroupHoldout().split(None, [0] * 4, [0] * 4))


def some_groups(n_groups=12, seed=0):
    draw = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), draw.integers(1, 4, n_groups))
    groups = draw.permutation(groups)
    return groups % 2, groups


@pytest.mark.parametrize("splitter", SPLITTERS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n_groups=st.integers(10, 20))
def test_no_group_is_on_both_sides(splitter, seed, n_groups):
    y, groups = some_groups(n_groups, seed)
    splits = list(splitter.split(y, y, groups))
    assert len(splits) == splitter.get_n_splits()
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert set(groups[train]) | set(groups[test]) == set(groups)
        assert set(y[train]) == {0, 1}
        assert len(test)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_folds_follow_the_groups_and_not_the_order_of_rows(splitter):
    y, groups = some_groups(12)
    names = np.array([f"id{g}" for g in groups])
    order = np.random.default_rng(1).permutation(len(y))
    straight = splitter.split(y, y, names)
    shuffled = splitter.split(y, y[order], names[order])
    for (train, test), (train_2, test_2) in zip(straight, shuffled, strict=True):
        assert set(test) == set(order[test_2])
        assert sorted(train) == sorted(order[train_2])


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_one_video_a_group_follows_the_names_too(splitter):
    y = np.arange(20) % 2
    names = np.array([f"v{i:02d}" for i in range(20)])
    order = np.random.default_rng(1).permutation(20)
    straight = [set(names[test]) for _, test in splitter.split(y, y, names)]
    shuffled = splitter.split(y, y[order], names[order])
    assert straight == [set(names[order][test]) for _, test in shuffled]


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_the_seed_decides(splitter):
    y, groups = some_groups()

    def tests(seed):
        seeded = clone(splitter).set_params(random_state=seed)
        return [test.tolist() for _, test in seeded.split(y, y, groups)]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


@pytest.mark.parametrize("seed", range(20))
def test_folds_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, 25, 100)
    y = draw.integers(0, 2, 100) if seed % 2 else groups % 2
    ours = StratifiedGroupFolds(4, random_state=seed).split(y, y, groups)
    theirs = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    for (train, test), (train_2, test_2) in zip(
        ours, theirs.split(y, y, groups), strict=True
    ):
        np.testing.assert_array_equal(test, test_2)
        np.testing.assert_array_equal(train, train_2)


def test_without_groups_the_folds_are_stratified_rows():
    y = np.array([0, 1] * 10)
    ours = StratifiedGroupFolds(4, random_state=3).split(y, y)
    theirs = StratifiedKFold(4, shuffle=True, random_state=3).split(y, y)
    for (_, test), (_, test_2) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(test, test_2)


def test_too_few_groups_say_how_many_folds_are_possible():
    y, groups = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="5 folds need .* use n_splits=2 or fewer"):
        split_rows(StratifiedGroupFolds(5), y, groups)
    with pytest.raises(ValueError, match="no split is possible"):
        split_rows(StratifiedGroupFolds(5), y, [0, 0, 1, 2, 3, 4])


def test_holdout_keeps_the_share_of_each_class():
    y = np.repeat([0, 1], [100, 300])
    groups = np.arange(400) // 2
    ((train, test),) = GroupHoldout(0.25, random_state=0).split(y, y, groups)
    assert abs((y[test] == 0).sum() - 25) <= 2
    assert abs((y[test] == 1).sum() - 75) <= 2
    assert len(train) + len(test) == 400


def test_holdout_has_both_classes_on_both_sides_wherever_that_can_be():
    kinds = [(1, 0), (0, 1), (1, 1), (0, 3)]
    tried = 0
    for n_groups in (2, 3, 4):
        for groups_of in itertools.product(kinds, repeat=n_groups):
            counts = np.array(groups_of)
            if (counts > 0).sum(axis=0).min() < 2:
                continue
            y = np.concatenate([[0] * real + [1] * fake for real, fake in groups_of])
            groups = np.repeat(np.arange(n_groups), counts.sum(axis=1))
            for size in (0.01, 0.5, 0.99):
                holdout = GroupHoldout(size, random_state=0)
                ((train, test),) = holdout.split(y, y, groups)
                assert set(y[train]) == set(y[test]) == {0, 1}
                tried += 1
    assert tried > 300


def test_bootstrap_draws_whole_groups_as_often_as_there_are():
    y, groups = some_groups()
    for train, _ in GroupBootstrap(20, random_state=0).split(y, y, groups):
        times = [
            {(train == row).sum() for row in np.flatnonzero(groups == group)}
            for group in np.unique(groups)
        ]
        assert all(len(of_group) == 1 for of_group in times)
        assert sum(of_group.pop() for of_group in times) == len(np.unique(groups))


def test_a_row_is_out_of_bag_in_about_one_replica_of_e():
    y = np.arange(60) % 2
    out = np.zeros(60)
    for _, test in GroupBootstrap(400, random_state=0).split(y, y):
        out[test] += 1
    assert abs(out.mean() / 400 - (1 - 1 / 60) ** 60) < 0.01


def test_more_replicas_begin_with_the_same_ones():
    y, groups = some_groups()
    few = list(GroupBootstrap(3, random_state=5).split(y, y, groups))
    many = list(GroupBootstrap(9, random_state=5).split(y, y, groups))
    for (train, _), (train_2, _) in zip(few, many, strict=False):
        np.testing.assert_array_equal(train, train_2)


def test_bootstrap_draws_again_until_both_classes_are_there():
    y, groups = np.array([0, 0, 0, 0, 1]), np.arange(5)
    for train, test in GroupBootstrap(50, random_state=0).split(y, y, groups):
        assert 1 in y[train]
        assert len(test)


def test_bootstrap_of_one_group_is_refused():
    with pytest.raises(ValueError, match="no draw of 1 groups"):
        split_rows(GroupBootstrap(2, random_state=0), [0, 1], ["x", "x"])


@pytest.mark.parametrize(
    ("resampling", "kind"),
    [
        ("k-fold", StratifiedGroupFolds),
        ("KFold", StratifiedGroupFolds),
        ("holdout", GroupHoldout),
        ("hold_out", GroupHoldout),
        ("bootstrap", GroupBootstrap),
        (4, StratifiedGroupFolds),
        (np.int64(4), StratifiedGroupFolds),
        (None, GroupBootstrap),
    ],
)
def test_resampling_by_name_or_number(resampling, kind):
    splitter = resolve_resampling(resampling, default="bootstrap", random_state=7)
    assert type(splitter) is kind
    assert splitter.random_state == 7


def test_splitters_and_row_numbers_are_taken_as_they_are():
    splitter = GroupKFold(3)
    assert resolve_resampling(splitter) is splitter
    pairs = [([0, 1], [2]), ([1, 2], [0])]
    splits = split_rows(resolve_resampling(iter(pairs)), [0, 1, 0])
    assert [test.tolist() for _, test in splits] == [[2], [0]]


@pytest.mark.parametrize(
    ("resampling", "error", "message"),
    [
        ("bootstap", ValueError, "did you mean 'bootstrap'"),
        (True, TypeError, "must be a name"),
        (2.5, TypeError, "must be a name"),
        (GroupKFold, TypeError, "must be a name"),
    ],
)
def test_unknown_resampling_is_refused(resampling, error, message):
    with pytest.raises(error, match=message):
        resolve_resampling(resampling)


def test_a_leak_is_named():
    y, groups = [0, 1, 0, 1, 0], ["ann", "bob", "bob", "cat", "cat"]
    splits = [([0, 1, 3], [2, 4])]
    with pytest.raises(
        LeakError,
        match=r"fold 0 has group 'bob' .* 1 rows in train and 1 in test \(2 groups",
    ):
        split_rows(splits, y, groups)
    with pytest.raises(LeakError, match="fold 0 has row 1 on both sides"):
        split_rows([([0, 1], [1, 2])], y)
    with pytest.warns(UserWarning, match="ignored"), pytest.raises(LeakError):
        split_rows(KFold(3), y, groups)


def test_a_leak_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(LeakError("group 'a'")))
    assert isinstance(error, LeakError)
    assert isinstance(error, ValueError)
    assert str(error) == "group 'a'"


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([([0, 1], [])], "fold 0 has an empty test part"),
        ([([0, 2], [1])], "fold 0 has no video of class 1 among its 2 training rows"),
        ([([0, 1], [9])], "row 9 in the test part is outside the 4 videos"),
        ([([0, 1], [-1])], "row -1 in the test part"),
        ([([0.0, 1.0], [2])], "must be a list of row numbers"),
        ([], "made no split"),
    ],
)
def test_bad_splits_are_refused(splits, message):
    with pytest.raises(ValueError, match=message):
        split_rows(splits, [0, 1, 0, 1])


def test_test_parts_may_overlap_between_splits():
    assert len(split_rows([([0, 1], [2]), ([0, 1], [2, 3])], [0, 1, 0, 1])) == 2


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 2], "got 2 groups for 3 videos"),
        ([[1], [2], [3]], r"shape \(3,\); got \(3, 1\)"),
        ([1, None, 2], "1 of 3 have none, the first at row 1"),
        ([1.0, np.nan, 2.0], "1 of 3 have none"),
    ],
)
def test_bad_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        group_codes(groups, 3)


def test_a_number_and_its_text_are_one_group():
    with pytest.warns(UserWarning, match="taken for one: 7 and '7'"):
        assert len(set(group_codes(np.array([7, "7", 7], dtype=object), 3))) == 1


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_splitters_work_in_scikit_learn(splitter):
    y, groups = some_groups()
    assert clone(splitter).get_params() == splitter.get_params()
    scores = cross_val_score(
        DummyClassifier(), np.zeros((len(y), 1)), y, groups=groups, cv=splitter
    )
    assert len(scores) == splitter.get_n_splits()
