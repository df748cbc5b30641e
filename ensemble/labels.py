"""Labels: from whatever names the two classes carry to 0 (real) and 1 (fake)."""

import difflib

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d


def encode_labels(y, fake_label=None, strict=True, allow_one_class=False):
    """Find the two classes in `y` and say which one is fake.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans, or "REAL"/"FAKE" in any case are understood; two other labels
        need `fake_label`, or ``strict=False``.
    fake_label : label or None, default=None
        The label that means fake, spelled as in `y`.
    strict : bool, default=True
        Whether unknown labels without `fake_label` are refused. If False, the
        second of the two sorted labels is taken for fake.
    allow_one_class : bool, default=False
        Whether `y` may hold one class only: for scoring, and for training on real
        videos alone, see `ensemble.training_set.training_labels`.

    Returns
    -------
    classes : ndarray of shape (2,), or (1,) where one class is allowed
        The labels as given, sorted as everywhere in scikit-learn.
    is_fake : int ndarray of shape (n_videos,)
        1 for fake, 0 for real.

    Examples
    --------
    >>> classes, is_fake = encode_labels(["REAL", "FAKE", "REAL"])
    >>> classes.tolist(), is_fake.tolist()
    (['FAKE', 'REAL'], [0, 1, 0])
    >>> encode_labels(["clean", "swapped"], fake_label="swapped")[1].tolist()
    [0, 1]
    """
    y = _one_label_per_video(y)
    classes = _sorted_classes(y)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. Expected two labels, real and "
            f"fake; got {len(classes)}: {_listed(classes)}"
        )
    fake = _which_is_fake(classes, fake_label, strict, allow_one_class)
    is_fake = np.zeros(len(y), int) if fake is None else (y == fake).astype(int)
    if len(classes) == 1 and not allow_one_class:
        raise ValueError(
            f"y holds one class only: {classes[0]!s} ({len(y)} videos); both real and "
            "fake videos are needed, add some of the other class"
        )
    return classes, is_fake


def _one_label_per_video(y):
    if y is None:
        raise ValueError("labels are required, one per video; got y=None")
    y = column_or_1d(y, warn=True)
    if len(y) == 0:
        raise ValueError("labels are required, one per video; got an empty y")
    missing = np.flatnonzero(pd.isna(y))
    if missing.size:
        raise ValueError(
            f"Input y contains NaN: {missing.size} of {len(y)} labels are missing, "
            f"the first at row {missing[0]}; label these videos or drop them"
        )
    if y.dtype.kind == "f":
        odd = np.flatnonzero((y != np.round(y)) | np.isinf(y))
        if odd.size:
            raise ValueError(
                "Unknown label type: continuous. Expected two labels, such as 0 and "
                f"1; got {y[odd[0]]} at row {odd[0]}"
            )
    return y


def _sorted_classes(y):
    try:
        classes = np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise ValueError(
            "Unknown label type: labels must be of one kind, all numbers or all "
            f"strings; got {', '.join(kinds)}"
        ) from error
    for word in ("real", "fake"):
        spellings = [str(label) for label in classes if _word(label) == word]
        if len(spellings) > 1:
            raise ValueError(
                f"{' and '.join(map(repr, spellings))} are spellings of one class; "
                "write one of them throughout"
            )
    return classes


def _which_is_fake(classes, fake_label, strict, allow_one_class):
    """Return the fake one of the classes, or None where it does not occur."""
    if fake_label is not None:
        matches = [label for label in classes if label == fake_label]
        if matches:
            return matches[0]
        if len(classes) == 1 and allow_one_class:
            return None
        raise ValueError(
            f"fake_label={fake_label!r} is none of the labels {_listed(classes)}"
            + _did_you_mean(fake_label, classes)
        )
    words = [_word(label) for label in classes]
    if set(words) <= {"real", "fake"}:
        return classes[words.index("fake")] if "fake" in words else None
    is_zero_one = classes.dtype.kind in "biuf" or all(
        isinstance(label, (bool, int, np.bool_, np.integer)) for label in classes
    )
    if is_zero_one and set(classes.tolist()) <= {0, 1}:
        return classes[-1] if classes[-1] == 1 else None
    if strict:
        raise ValueError(
            f"labels {_listed(classes)} do not say which is fake: expected 0/1, "
            "booleans or REAL/FAKE; name the fake one with fake_label="
        )
    return classes[1] if len(classes) == 2 else None


def _word(label):
    return label.lower() if isinstance(label, str) else None


def _listed(classes, at_most=6):
    names = [repr(label) for label in classes[:at_most].tolist()]
    return ", ".join(names) + (", ..." if len(classes) > at_most else "")


def _did_you_mean(fake_label, classes):
    by_text = {str(label).lower(): label for label in classes.tolist()}
    close = difflib.get_close_matches(str(fake_label).lower(), by_text, n=1)
    return f"; did you mean {by_text[close[0]]!r}?" if close else ""
