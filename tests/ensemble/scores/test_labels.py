import numpy as np
import pandas as pd
import pytest

from ensemble.labels import encode_labels


@pytest.mark.parametrize(
    ("y", "classes", "is_fake"),
    [
        ([0, 1, 1], [0, 1], [0, 1, 1]),
        ([1.0, 0.0], [0.0, 1.0], [1, 0]),
        ([True, False], [False, True], [1, 0]),
        (["REAL", "FAKE"], ["FAKE", "REAL"], [0, 1]),
        (["real", "fake", "real"], ["fake", "real"], [0, 1, 0]),
        (["Real", "FAKE"], ["FAKE", "Real"], [0, 1]),
        (np.array(["FAKE", "REAL"], dtype=object), ["FAKE", "REAL"], [1, 0]),
        (pd.Series(["REAL", "FAKE"], index=[7, 3]), ["FAKE", "REAL"], [0, 1]),
        (pd.Categorical(["REAL", "FAKE"]), ["FAKE", "REAL"], [0, 1]),
        (pd.array([1, 0], dtype="Int64"), [0, 1], [1, 0]),
    ],
)
def test_known_labels_are_understood(y, classes, is_fake):
    got_classes, got = encode_labels(y)
    assert got_classes.tolist() == classes
    assert got.tolist() == is_fake
    assert got.dtype.kind == "i"


def test_classes_are_those_of_numpy_unique():
    y = np.array(["swap", "clean", "swap"])
    classes, _ = encode_labels(y, fake_label="clean")
    np.testing.assert_array_equal(classes, np.unique(y))


@pytest.mark.parametrize("strict", [True, False])
def test_fake_label_decides(strict):
    assert encode_labels([3, 7, 3], 3, strict=strict)[1].tolist() == [1, 0, 1]
    assert encode_labels([0, 1], 0, strict=strict)[1].tolist() == [1, 0]


def test_without_strictness_the_second_label_is_fake_unless_the_words_say_otherwise():
    assert encode_labels(["a", "b", "a"], strict=False)[1].tolist() == [0, 1, 0]
    assert encode_labels([-1, 1], strict=False)[1].tolist() == [0, 1]
    assert encode_labels(["FAKE", "REAL"], strict=False)[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("y", "kwargs", "is_fake"),
    [
        ([1, 1], {}, [1, 1]),
        ([0, 0], {}, [0, 0]),
        (["REAL", "REAL"], {}, [0, 0]),
        (["FAKE"], {}, [1]),
        (["a", "a"], {"fake_label": "b"}, [0, 0]),
        (["b", "b"], {"fake_label": "b"}, [1, 1]),
    ],
)
def test_one_class_is_encoded_where_allowed(y, kwargs, is_fake):
    classes, got = encode_labels(y, allow_one_class=True, **kwargs)
    assert len(classes) == 1
    assert got.tolist() == is_fake


@pytest.mark.parametrize(
    ("y", "kwargs", "message"),
    [
        (None, {}, "got y=None"),
        ([], {}, "empty"),
        ([1, 1, 1], {}, r"one class only: 1 \(3 videos\)"),
        (["REAL"], {}, "one class only: REAL"),
        ([0, 1, 2], {}, r"Only binary classification is supported\..*got 3: 0, 1, 2"),
        (["a", "b"], {}, "'a', 'b' do not say which is fake.*fake_label="),
        ([0, 2], {}, "0, 2 do not say which is fake"),
        ([0, np.nan, 1], {}, "contains NaN: 1 of 3 .* row 1"),
        (["REAL", None], {}, "contains NaN: 1 of 2 .* row 1"),
        (pd.array([1, None], dtype="Int64"), {}, "contains NaN"),
        ([0.2, 1.0], {}, "Unknown label type: continuous.*0.2 at row 0"),
        ([0.0, np.inf], {}, "Unknown label type: continuous.*inf at row 1"),
        (np.array([0, "a"], dtype=object), {}, "of one kind.*got int, str"),
        (["real", "REAL", "FAKE"], {}, "'REAL' and 'real' are spellings of one class"),
        ([[0, 1], [1, 0]], {}, "y should be a 1d array"),
        (["a", "b"], {"fake_label": "A"}, "'A' is none of.*did you mean 'a'"),
        ([0, 1], {"fake_label": "1"}, "'1' is none of .* 0, 1"),
    ],
)
def test_bad_labels_are_refused(y, kwargs, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y, **kwargs)
