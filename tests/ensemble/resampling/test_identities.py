import numpy as np
import pytest

from ensemble.resampling import (
    StratifiedGroupFolds,
    identity_groups,
    split_rows,
)


def ffpp(n_pairs=500, methods=4):
    """People, label and name of the videos of FaceForensics++, by its pairs."""
    draw = np.random.default_rng(0)
    ids = np.array([f"{number:03d}" for number in range(2 * n_pairs)])
    pairs = draw.permutation(ids).reshape(n_pairs, 2).tolist()
    people = [name for pair in pairs for name in pair]
    y = [0] * len(people)
    for _ in range(methods):
        for one, other in pairs:
            people += [(one, other), (other, one)]
            y += [1, 1]
    return people, np.array(y), pairs


def test_the_thousand_people_of_faceforensics_are_five_hundred_groups():
    people, y, pairs = ffpp()
    groups = identity_groups(people)
    assert len(set(groups)) == 500
    assert set(groups) == {min(pair) for pair in pairs}
    for train, test in split_rows(StratifiedGroupFolds(5, random_state=0), y, groups):
        sides = [
            {name for row in rows for name in np.atleast_1d(people[row]).tolist()}
            for rows in (train, test)
        ]
        assert not sides[0] & sides[1]


def test_people_linked_through_others_are_one_group():
    with pytest.warns(UserWarning, match="3 of 4 videos are in one group"):
        groups = identity_groups([("a", "b"), ("b", "c"), ["c", "d"], "e"])
    assert groups.tolist() == ["a", "a", "a", "e"]


@pytest.mark.filterwarnings("error")
def test_names_and_numbers_of_people_do_not_depend_on_order():
    assert identity_groups([(3, 1), 7, {1, 9}, 7, 8]).tolist() == [
        "1", "7", "1", "7", "8"
    ]  # fmt: skip


def test_spellings_of_one_person_are_joined():
    with pytest.warns(UserWarning, match="people that differ only in white space"):
        groups = identity_groups([("ann", "bob"), " bob", "cid", "dan"])
    assert groups.tolist() == ["ann", "ann", "cid", "dan"]


def test_the_target_alone_decides_where_that_is_asked_and_the_overlap_is_said():
    with pytest.warns(UserWarning, match=r"1 of 3 people .* \(3 of 4 videos"):
        groups = identity_groups([("a", "b"), "a", "b", ("c", "b")], rule="target")
    assert groups.tolist() == ["a", "a", "b", "c"]


@pytest.mark.parametrize(
    ("identities", "rule", "message"),
    [
        (["a"], "nearest", "'connected' or 'target'; got 'nearest'"),
        (["a", ()], "connected", "row 1 has none"),
        (["a", None], "connected", "1 of 2 have none"),
        ([], "connected", "got none"),
    ],
)
def test_bad_identities_are_refused(identities, rule, message):
    with pytest.raises(ValueError, match=message):
        identity_groups(identities, rule)
