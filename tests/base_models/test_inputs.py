import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from base_models import (
    CallableDetector,
    CompressionRouter,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    GeometryDetector,
    LSTMDetector,
    TorchDetector,
    score_videos,
)
from base_models.groups import clean_groups, group_codes
from base_models.inputs import (
    classes_of_reals,
    clean_labels,
    encode_labels,
    fake_column,
)
from ensemble import DeepfakeEnsemble


def _brightness(videos):
    return [video.mean() / 255 for video in videos]


DETECTORS = [
    CallableDetector(_brightness),
    CompressionRouter(
        {"c23": CallableDetector(_brightness), "c40": CallableDetector(_brightness)}
    ),
    FlickerDetector(),
    FrameDetector("resnet18", weights=None, view="frame"),
    FrequencyDetector(),
    GeometryDetector(),
    LSTMDetector("resnet18", weights=None),
    TorchDetector(torch.nn.Linear(1, 2), image_size=8),
]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
@pytest.mark.parametrize(
    "y", [["original", "manipulated"], [1, 2], [-1, 1], ["true", "fake"]], ids=str
)
def test_no_detector_guesses_which_label_is_fake(detector, y):
    videos = [np.zeros((4, 8, 8, 3), np.uint8), np.ones((4, 8, 8, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"do not say which is fake.*rename them"):
        detector.fit(videos, y)


@pytest.mark.parametrize(
    "y",
    [[0, 1], [False, True], ["Real", "Fake"], [" REAL", "FAKE "], ["0", "1"],
     ["False", "True"], [b"real", b"fake"], ["0.0", "1.0"]],
    ids=str,
)  # fmt: skip
def test_a_detector_by_itself_understands_the_same_labels_as_an_ensemble(y):
    videos = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    detector = CallableDetector(_brightness).fit(videos, y)
    fake = fake_column(detector.classes_)
    np.testing.assert_allclose(detector.predict_proba(videos)[:, fake], [0, 1])
    assert encode_labels(y)[1].tolist() == [0, 1]


class _Foreign:
    """A fitted classifier of somebody else; its first class is the brighter one."""

    def __init__(self, classes):
        self.classes_ = np.array(classes)

    def fit(self, videos, y):
        return self

    def predict_proba(self, videos):
        bright = np.array([video.mean() / 255 for video in videos])
        return np.column_stack([bright, 1 - bright])


@pytest.mark.parametrize("classes", [["fake", "real"], [1, 0], [True, False]], ids=str)
def test_a_foreign_detector_is_read_by_the_names_of_its_classes(classes):
    videos = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    scores, _ = score_videos([_Foreign(classes)], videos)
    np.testing.assert_allclose(scores[:, 0], [0, 1])


@pytest.mark.parametrize("classes", [["manipulated", "original"], [1, 2]], ids=str)
def test_a_foreign_detector_whose_classes_do_not_tell_is_refused(classes):
    videos = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    with pytest.raises(ValueError, match=r"_foreign: which column.*CallableDetector"):
        score_videos([_Foreign(classes)], videos)
    model = DeepfakeEnsemble(
        [("foreign", FrozenEstimator(_Foreign(classes)))], "voting", verbose=False
    )
    y = ["original", "manipulated"] * 6
    with pytest.raises(ValueError, match="do not say which is fake"):
        model.fit(videos, y, groups=np.arange(12) // 2)
    model.set_params(fake_label="manipulated", resampling=2)
    with pytest.raises(ValueError, match="which column of predict_proba is P"):
        model.fit(videos, y, groups=np.arange(12) // 2)


def test_a_foreign_detector_without_classes_is_refused():
    detector = _Foreign([0, 1])
    del detector.classes_
    with pytest.raises(ValueError, match="must be clear from classes_"):
        score_videos([detector], [np.zeros((2, 4, 4, 3), np.uint8)])


def test_missing_labels_stay_missing_beside_text():
    with pytest.raises(ValueError, match="1 of 2 labels are missing.* row 1"):
        clean_labels(["REAL", float("nan")])
    with pytest.raises(ValueError, match="row 0"):
        clean_labels(["  ", "REAL"])
    for y in (["REAL", pd.NA], pd.Series(["REAL", pd.NA], dtype="string")):
        with pytest.raises(ValueError, match="1 of 2 labels are missing.* row 1"):
            clean_labels(y)


@pytest.mark.parametrize(
    ("only", "both"),
    [("0", ["0", "1"]), ("False", ["False", "True"]), ("Real", ["Fake", "Real"])],
)
def test_the_fakes_beside_reals_are_named_alike(only, both):
    assert classes_of_reals(np.array([only])).tolist() == both


@pytest.mark.parametrize(
    ("groups", "codes"),
    [
        ([" 3", "3", "4"], [0, 0, 1]),
        ([7, "7", "8"], [0, 0, 1]),
        ([7.0, "7", 8], [0, 0, 1]),
        (["007", "7", "7 "], [0, 1, 1]),
        (np.array([b"ann", "ann", "bob"], object), [0, 0, 1]),
        (["ann\u00a0", "ann", "bob"], [0, 0, 1]),
        (
            [unicodedata.normalize(form, "Jürgen") for form in ("NFC", "NFD")],
            [0, 0],
        ),
        (["\ufeffann", "ann"], [0, 0]),
    ],
    ids=str,
)
def test_groups_are_one_whatever_their_spelling(groups, codes):
    with pytest.warns(UserWarning, match="taken for one"):
        assert group_codes(groups, len(groups)).tolist() == codes


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "groups",
    [
        np.array([10, 2, 10]),
        np.array([1.5, 0.5, 1.5]),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], object),
        np.array([10, 2, 10], object),
        pd.Categorical(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], index=[5, 6, 7]),
        np.array(["2024-02-01", "2024-01-01", "2024-02-01"], "M8[D]"),
    ],
    ids=lambda groups: str(getattr(groups, "dtype", "")),
)
def test_clean_groups_are_numbered_in_sorted_order_as_ever(groups):
    assert group_codes(groups, 3).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "groups",
    [["a", None], ["a", float("nan")], ["a", " "], [1.0, np.nan], ["a", pd.NA],
     np.array(["2024-01-01", "NaT"], "M8[D]"), pd.array([1, None], dtype="Int64")],
    ids=str,
)  # fmt: skip
def test_a_missing_group_is_not_a_group(groups):
    with pytest.raises(ValueError, match="1 of 2 have none, the first at row 1"):
        group_codes(groups, 2)
    assert clean_groups(groups, 2, allow_missing=True)[1] is None


def test_a_group_called_nan_is_pointed_out():
    groups = pd.Series(["a", "nan", "nan", "b"])
    with pytest.warns(UserWarning, match="2 of 4 videos are in one group called 'nan'"):
        assert group_codes(groups, 4).tolist() == [0, 2, 2, 1]


def test_pairs_as_groups_are_shown_the_way_to_joined_identities():
    for groups in ([("a", "b"), ("b", "c")], pd.Series([("a", "b"), "c"])):
        with pytest.raises(ValueError, match="identity_groups"):
            group_codes(groups, 2)


@pytest.mark.slow
def test_a_million_groups_are_numbered():  # as what compares pairs never would
    numbers = np.arange(10**6) // 3
    assert (group_codes(numbers, 10**6) == numbers).all()
    names = np.char.add("person ", numbers.astype(str))
    assert len(np.unique(clean_groups(names, 10**6)[:9])) == 3


def test_groups_of_numbers_have_one_order_whether_they_are_text_or_not():
    groups = np.array([10, 2, 2, 33, 0, 10])
    codes = group_codes(groups, 6)
    assert codes.tolist() == [2, 1, 1, 3, 0, 2]
    np.testing.assert_array_equal(group_codes(groups.astype(str), 6), codes)
    np.testing.assert_array_equal(group_codes([str(g) for g in groups], 6), codes)
    np.testing.assert_array_equal(group_codes(groups.astype(float), 6), codes)
    assert group_codes(["10", "2", "b"], 3).tolist() == [0, 1, 2]  # text among them


def test_groups_that_differ_in_case_alone_are_kept_apart_and_said():
    with pytest.warns(UserWarning, match="upper and lower case.*'Ann' and 'ann'"):
        assert clean_groups(["ann", "Ann", "bob"], 3).tolist() == ["ann", "Ann", "bob"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean_groups(["ann", "bob", "cyd"], 3)


@pytest.mark.parametrize(
    "groups", [["7.0", "7", "8"], ["7", "7.00", "ann"], ["7.0", 7, "b"]]
)
def test_a_number_with_and_without_its_point_is_one_group(groups):
    with pytest.warns(UserWarning, match="taken for one"):
        codes = group_codes(groups, 3)
    assert codes[0] == codes[1] != codes[2]


def test_what_merely_looks_like_a_number_keeps_its_name():
    for groups in (["1.0", "2.0"], ["v1.0", "v1"], ["1.5", "1"], ["01", "1"]):
        assert clean_groups(groups, 2).tolist() == groups
