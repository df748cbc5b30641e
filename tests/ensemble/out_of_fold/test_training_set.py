import numpy as np
import pytest

from ensemble.training_set import TrainingSet, content_digest, row_ids, training_labels


def _of(videos, groups=None, y=None, weight=None):
    y = np.arange(len(videos)) % 2 if y is None else y
    return TrainingSet.of(videos, y, groups, weight)


def test_the_order_given_does_not_matter(noise):
    videos, y, groups = noise(0)
    order = np.random.default_rng(1).permutation(40)
    first = _of(videos, groups, y)
    second = _of([videos[i] for i in order], groups[order], y[order])
    assert first.digests == second.digests
    np.testing.assert_array_equal(first.is_fake, second.is_fake)
    np.testing.assert_array_equal(first.groups, second.groups)
    for row, at in enumerate(first.given):
        np.testing.assert_array_equal(first.videos[at], videos[row])


def test_own_folds_follow_content_and_given_splits_follow_rows(noise):
    videos, y, groups = noise(0)
    order = np.random.default_rng(1).permutation(40)
    first = _of(videos, groups, y)
    second = _of([videos[i] for i in order], groups[order], y[order])
    for (_, one), (_, other) in zip(first.split(4, 0), second.split(4, 0), strict=True):
        np.testing.assert_array_equal(one, other)
    train, test = np.arange(20), np.arange(20, 40)
    ((here, there),) = first.split([(train, test)], 0)
    assert sorted(first.given[train]) == here.tolist()
    assert sorted(first.given[test]) == there.tolist()


def test_all_copies_under_two_groups_are_named(noise):
    videos, y, groups = noise(0)
    y = np.r_[y, y[3], y[5]]
    with pytest.warns(UserWarning, match="2 contents") as caught:
        _of([*videos, videos[3], videos[5]], np.r_[groups, 99, 98], y)
    (text,) = [str(one.message) for one in caught]
    for row in (3, 40, 5, 41):
        assert f"(row {row})" in text


@pytest.mark.parametrize("other_group", [False, True])
def test_one_content_with_both_labels_is_refused(noise, other_group):
    videos, y, groups = noise(0)
    group = 99 if other_group else groups[3]
    with pytest.raises(ValueError, match=r"both real and fake.*row 3, .*row 40, "):
        _of([*videos, videos[3]], np.r_[groups, group], np.r_[y, 1 - y[3]])


def test_groups_of_two_spellings_stay_together(noise):
    videos, y, _ = noise(0)
    names = np.array([f"p{row // 4}" for row in range(40)])
    spelled = names.copy().astype("<U4")
    spelled[::4] = [f"{name} " for name in names[::4]]
    with pytest.warns(UserWarning, match="taken for one: 'p0 ' and 'p0'"):
        training = _of(videos, spelled, y)
    np.testing.assert_array_equal(training.groups, _of(videos, names, y).groups)


def test_rows_are_named_by_path_and_never_twice(tmp_path):
    ids = row_ids([tmp_path / "a.mp4", str(tmp_path / "a.mp4"), np.zeros(3)])
    assert ids == [str(tmp_path / "a.mp4"), f"{tmp_path / 'a.mp4'}#2", "video-2"]


def test_content_counts_and_not_the_name(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"the same")
    (tmp_path / "c.mp4").write_bytes(b"another")
    a, b, c = (content_digest(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert a == b != c
    assert content_digest("absent.mp4") != content_digest("missing.mp4")


def test_a_saved_set_is_given_its_videos_back_by_content(noise):
    videos, y, groups = noise(0)
    training = _of(videos, groups, y)
    shuffled = [video.copy() for video in videos[::-1]]
    again = training.with_videos(shuffled)
    for one, other in zip(again.videos, training.videos, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="1 of 40 training videos are not among"):
        training.with_videos(shuffled[1:])
    with pytest.raises(ValueError, match="pass videos="):
        training.with_videos(None)


def test_lengths_must_agree(noise):
    videos, y, groups = noise(0)
    with pytest.raises(ValueError, match="got 39 labels for 40 videos"):
        TrainingSet.of(videos, y[1:], groups, None)
    with pytest.raises(ValueError, match="39 groups for 40 videos"):
        TrainingSet.of(videos, y, groups[1:], None)
    with pytest.raises(ValueError, match=r"shape \(39,\) for 40 videos"):
        TrainingSet.of(videos, y, groups, np.ones(39))


@pytest.mark.parametrize(
    ("y", "fake_label", "classes", "fake_class"),
    [
        ([0, 0], None, [0, 1], 1),
        ([False, False], None, [False, True], True),
        (np.array([False, False], object), None, [False, True], True),
        ([0.0, 0.0], None, [0.0, 1.0], 1.0),
        (["REAL", "REAL"], None, ["FAKE", "REAL"], "FAKE"),
        (np.array(["real", "real"], object), None, ["fake", "real"], "fake"),
        (["camera", "camera"], "swap", ["camera", "swap"], "swap"),
        (["swap", "swap"], "camera", ["camera", "swap"], "camera"),
        ([7, 7], 3, [3, 7], 3),
    ],
)
def test_reals_alone_name_the_fakes_that_are_not_there(
    y, fake_label, classes, fake_class
):
    got, fake, is_fake = training_labels(y, fake_label)
    assert got.tolist() == classes
    assert type(got.tolist()[0]) is type(classes[0])
    assert fake == fake_class
    assert is_fake.tolist() == [0, 0]


def test_two_classes_are_what_they_were():
    classes, fake, is_fake = training_labels(["FAKE", "REAL", "FAKE"])
    assert classes.tolist() == ["FAKE", "REAL"]
    assert fake == "FAKE"
    assert is_fake.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("y", "fake_label", "message"),
    [
        ([1, 1, 1], None, r"one class only: 1, fake \(3 videos\); add real"),
        (["FAKE"], None, "one class only: FAKE, fake"),
        (["swap"], "swap", "one class only: swap, fake"),
        (["camera"], None, "do not say which is fake"),
        ([0, 0], "swap", "'swap' is of another kind than the label 0"),
    ],
)
def test_labels_that_say_too_little_are_refused(y, fake_label, message):
    with pytest.raises(ValueError, match=message):
        training_labels(y, fake_label)
