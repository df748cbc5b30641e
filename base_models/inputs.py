"""Videos and labels as they are given -> checked lists and 0/1."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import column_or_1d

from base_models.naming import did_you_mean


@runtime_checkable
class LabelledSet(Protocol):
    """Videos that bring their labels and groups, as `ensemble.datasets` reads them."""

    @property
    def videos(self) -> list[Any]: ...

    @property
    def labels(self) -> list[Any]: ...

    @property
    def groups(self) -> list[Any] | None: ...


# Paths or arrays of frames, one entry a video: what `as_videos` takes.
Videos: TypeAlias = Sequence[Any] | np.ndarray | pd.Series | pd.DataFrame | LabelledSet
_READINGS = [  # spellings that go together, and what each means
    {"real": 0, "fake": 1},
    {"0": 0, "1": 1},
    {"0.0": 0, "1.0": 1},
    {"false": 0, "true": 1},
]
NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_INVISIBLE = "\ufeff\u200b"  # byte-order mark, zero-width space
_DETECTOR_LABELS = (
    "rename them, or train it in a DeepfakeEnsemble, whose fake_label= names the fake "
    "one"
)


def as_videos(videos: Videos) -> list[Any]:
    """Return videos as a list, one entry a video.

    Parameters
    ----------
    videos : sequence
        Paths, RGB uint8 arrays (T, H, W, 3), an array (n_videos, T, H, W, 3), a
        pandas Series, a table with one column, or a data set of `ensemble.datasets`.
        What the entries are is for the detectors to say.

    Returns
    -------
    list

    Examples
    --------
    >>> from base_models.inputs import as_videos
    >>> as_videos(("a.mp4", "b.mp4"))
    ['a.mp4', 'b.mp4']
    """
    if isinstance(videos, (str, bytes)) or hasattr(videos, "__fspath__"):
        raise TypeError(
            f"videos must be a list of videos; got one, [{videos!r}] is meant"
        )
    if _brings_labels(videos):
        return list(videos.videos)
    if isinstance(videos, np.ndarray) and videos.ndim in (3, 4):
        raise ValueError(
            "videos must be a list of paths or of RGB uint8 arrays (T, H, W, 3); "
            f"got one array of shape {videos.shape}"
        )
    rows: Any = videos.to_numpy() if isinstance(videos, pd.DataFrame) else videos
    if getattr(rows, "ndim", 1) == 2 and rows.shape[1] == 1:
        rows = rows[:, 0]
    return list(rows)


def _brings_labels(videos: object) -> TypeGuard[LabelledSet]:
    is_frame = isinstance(videos, (pd.DataFrame, pd.Series))
    return not is_frame and isinstance(videos, LabelledSet)


def with_labels(videos: Any, y: Any, groups: Any) -> tuple[list[Any], Any, Any]:
    """Take labels and groups from a data set that brings them, where none are given.

    Examples
    --------
    >>> from base_models.inputs import with_labels
    >>> with_labels(["a.mp4"], [1], None)
    (['a.mp4'], [1], None)
    """
    if y is None and _brings_labels(videos):
        y = None if all(label is None for label in videos.labels) else videos.labels
        groups = videos.groups if groups is None else groups
    return as_videos(videos), y, groups


def check_fit_arguments(
    videos: Videos,
    y: Any,
    groups: Any,
    sample_weight: Any,
    reals_will_do: bool = False,
) -> tuple[list[Any], np.ndarray, np.ndarray, np.ndarray]:
    """Return videos, labels as 0/1, weights and the classes, checked.

    Parameters
    ----------
    videos, y, groups, sample_weight
        As for a detector's ``fit``.
    reals_will_do : bool, default=False
        Whether all labels may mean real.

    Returns
    -------
    videos : list
    is_fake : ndarray of shape (n_videos,)
    sample_weight : ndarray of shape (n_videos,)
    classes : ndarray of shape (2,)

    Raises
    ------
    ValueError
        Also for labels that do not say which of them means fake.
    """
    videos, y, groups = with_labels(videos, y, groups)
    for name, values in (
        ("y", y),
        ("groups", groups),
        ("sample_weight", sample_weight),
    ):
        if values is not None and len(values) != len(videos):
            raise ValueError(
                f"{name} must have one entry per video; got {len(values)} for "
                f"{len(videos)} videos"
            )
    classes, is_fake = _encoded(y, None, True, True, _DETECTOR_LABELS)
    if len(classes) == 1 and reals_will_do:
        classes = classes_of_reals(classes)
    if len(classes) != 2:
        raise ValueError(
            f"y must hold both classes, real and fake; got {classes.tolist()}. From "
            "real videos alone learn detectors with pseudo_fakes (and train='full')"
        )
    weight = (
        np.ones(len(videos))
        if sample_weight is None
        else np.asarray(sample_weight, float)
    )
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight must be finite and >= 0")
    if len(np.unique(is_fake[weight > 0])) < len(np.unique(is_fake)):
        raise ValueError("sample_weight must be > 0 for some videos of both classes")
    return videos, is_fake, weight, classes


def encode_labels(
    y: Any,
    fake_label: object = None,
    strict: bool = True,
    allow_one_class: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the two classes in `y` and say which one is fake.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans, or "REAL"/"FAKE" in any case are understood, also as text
        (``"0"``, ``"True"``); two other labels need `fake_label`, or
        ``strict=False``. White space around text does not count.
    fake_label : label or None, default=None
        The label that means fake, spelled as in `y`.
    strict : bool, default=True
        Whether unknown labels without `fake_label` are refused. If False, the
        second of the two sorted labels is taken for fake.
    allow_one_class : bool, default=False
        Whether `y` may hold one class only: for scoring, and for training on real
        videos alone, see `ensemble.out_of_fold.training_set.training_labels`.

    Returns
    -------
    classes : ndarray of shape (2,), or (1,) where one class is allowed
        The labels as given, sorted as everywhere in scikit-learn.
    is_fake : int ndarray of shape (n_videos,)
        1 for fake, 0 for real.

    Examples
    --------
    >>> from base_models.inputs import encode_labels
    >>> classes, is_fake = encode_labels(["REAL", "FAKE", "REAL"])
    >>> classes.tolist(), is_fake.tolist()
    (['FAKE', 'REAL'], [0, 1, 0])
    >>> encode_labels(["clean", "swapped"], fake_label="swapped")[1].tolist()
    [0, 1]
    """
    return _encoded(
        y,
        fake_label,
        strict,
        allow_one_class,
        "rename them, or name the fake one with fake_label= (--fake-label)",
    )


def _encoded(
    y: Any, fake_label: object, strict: bool, allow_one_class: bool, advice: str
) -> tuple[np.ndarray, np.ndarray]:
    y = clean_labels(y)
    classes = _sorted_classes(y)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. Expected two labels, real and "
            f"fake; got {len(classes)}: {_listed(classes)}"
        )
    fake = _which_is_fake(classes, fake_label, strict, allow_one_class, advice)
    is_fake = np.zeros(len(y), int) if fake is None else (y == fake).astype(int)
    if len(classes) == 1 and not allow_one_class:
        raise ValueError(
            f"y holds one class only: {classes[0]!s} ({len(y)} videos); both real and "
            "fake videos are needed, add some of the other class"
        )
    return classes, is_fake


def clean_labels(y: Any) -> np.ndarray:
    """Return labels as an array, one a video, text without white space around it.

    Parameters
    ----------
    y : array-like of shape (n_videos,)

    Returns
    -------
    ndarray of shape (n_videos,)

    Raises
    ------
    ValueError
        If there are none, or some are missing or no label.

    Examples
    --------
    >>> from base_models.inputs import clean_labels
    >>> clean_labels(["FAKE", " REAL"]).tolist()
    ['FAKE', 'REAL']
    """
    if y is None:
        raise ValueError("labels are required, one per video; got y=None")
    y = np.asarray(column_or_1d(untouched(y), warn=True))
    if len(y) == 0:
        raise ValueError("labels are required, one per video; got an empty y")
    blank: Any = False
    if y.dtype.kind in "OSUT":
        clean = [clean_text(v) if isinstance(v, str | bytes) else v for v in y]
        changed = [isinstance(v, bytes | str) and v != c
                   for v, c in zip(y, clean, strict=True)]  # fmt: skip
        if any(changed):
            all_text = all(isinstance(label, str) for label in clean)
            y = np.array(clean, str if all_text else object)
        blank = [isinstance(label, str) and label == "" for label in clean]
    missing = np.flatnonzero(pd.isna(y) | blank)
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
    return np.asarray(y)


def label_as_given(text: str | None, labels: Iterable[Any]) -> Any:
    """Return the label that is written like a text, for text from a command line.

    Parameters
    ----------
    text : str or None
        None is returned as it is.
    labels : sequence
        As given.

    Returns
    -------
    label
        The text itself where no label is written so: who needs it says what is wrong.

    Examples
    --------
    >>> from base_models.inputs import label_as_given
    >>> label_as_given("0", [0, 1]), label_as_given("swap", ["swap", "camera"])
    (0, 'swap')
    """
    if text is None:
        return None
    spelled = {clean_text(label): label for label in labels}
    return spelled.get(clean_text(text), text)


def fake_column(
    classes: ArrayLike, fake_label: object = None, strict: bool = True
) -> int:
    """Return which of two classes means fake.

    Parameters
    ----------
    classes : sequence of length 2
        As in a classifier's ``classes_``.
    fake_label : label or None, default=None
        The one that means fake.
    strict : bool, default=True
        Whether classes that do not say it are refused; if False the second is taken.

    Returns
    -------
    int
        0 or 1.

    Examples
    --------
    >>> from base_models.inputs import fake_column
    >>> fake_column(["FAKE", "REAL"]), fake_column([0, 1])
    (0, 1)
    >>> fake_column(["manipulated", "original"])
    Traceback (most recent call last):
    ValueError: labels 'manipulated', 'original' do not say which is fake: expected \
0/1, booleans or REAL/FAKE
    """
    classes = np.asarray(classes)
    if classes.shape != (2,):
        raise ValueError(f"expected two classes, real and fake; got {classes.tolist()}")
    fake = _which_is_fake(classes, fake_label, strict, False, "")
    return int(classes[1] == fake)


def classes_of_reals(classes: np.ndarray) -> np.ndarray:
    """Return both classes where there is one and it means real, else what was given.

    Parameters
    ----------
    classes : ndarray of shape (1,)

    Returns
    -------
    ndarray of shape (2,) or (1,)
        0 gives [0, 1], False [False, True], "REAL" ["FAKE", "REAL"], sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.inputs import classes_of_reals
    >>> classes_of_reals(np.array([0]))
    array([0, 1])
    >>> classes_of_reals(np.array(["real"])).tolist()
    ['fake', 'real']
    """
    (only,) = classes
    if isinstance(only, str):
        for spellings in _READINGS:
            real, fake = spellings
            if only.lower() == real:
                styles = (str.lower, str.upper, str.title)
                style = next((s for s in styles if s(real) == only), str.title)
                return np.sort(np.array([style(fake), str(only)]))
        return classes
    if isinstance(only, NUMBERS) and only == 0:
        return np.array([type(only)(0), type(only)(1)])
    return classes


def two_columns(fake_score: np.ndarray, classes: ArrayLike) -> np.ndarray:
    """Return P(fake) as (n_videos, 2), columns in the order of the classes."""
    columns = [1 - fake_score, fake_score]
    return np.column_stack(columns if fake_column(classes) == 1 else columns[::-1])


def untouched(values: Any) -> Any:
    """Keep NumPy from making text of a list's numbers and missing entries."""
    if not isinstance(values, list | tuple):
        return values
    kinds = {type(value) for value in values}
    if all(issubclass(kind, NUMBERS) for kind in kinds):
        return values
    if all(issubclass(kind, str) for kind in kinds):
        return values
    nested = any(issubclass(kind, list | tuple | set | dict) for kind in kinds)
    if len(kinds) == 1 and not nested:
        return values
    if nested and not any(issubclass(kind, str) for kind in kinds):
        return values  # a table, or pairs: whoever asked says what is wrong
    column = np.empty(len(values), object)
    for row, value in enumerate(values):
        column[row] = value
    return column


def clean_text(value: object) -> str:
    """Return how a label or group is written, or "" for one that is missing."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
    elif isinstance(value, os.PathLike):
        text = os.fspath(value)
    elif isinstance(value, float) and value.is_integer():
        text = str(int(value))
    else:
        text = str(value)
    text = text.strip().strip(_INVISIBLE).strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _sorted_classes(y: np.ndarray) -> np.ndarray:
    try:
        classes = np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise ValueError(
            "Unknown label type: labels must be of one kind, all numbers or all "
            f"strings; got {', '.join(kinds)}"
        ) from error
    texts = [str(label) for label in classes if isinstance(label, str)]
    for spellings in _READINGS:
        for word in spellings:
            alike = [text for text in texts if text.lower() == word]
            if len(alike) > 1:
                raise ValueError(
                    f"{' and '.join(map(repr, alike))} are spellings of one class; "
                    "write one of them throughout"
                )
    return classes


def _which_is_fake(
    classes: np.ndarray,
    fake_label: object,
    strict: bool,
    allow_one_class: bool,
    advice: str,
) -> Any:
    """Return the fake one of the classes, or None where it does not occur."""
    if fake_label is not None:
        if isinstance(fake_label, str | bytes):
            fake_label = clean_text(fake_label)
        matches = [label for label in classes if label == fake_label]
        if matches:
            return matches[0]
        if len(classes) == 1 and allow_one_class:
            return None
        raise ValueError(
            f"fake_label={fake_label!r} is none of the labels {_listed(classes)}"
            + did_you_mean(
                fake_label, classes.tolist(), lambda label: str(label).lower()
            )
        )
    meanings = _meanings(classes)
    if meanings is not None:
        return classes[meanings.index(1)] if 1 in meanings else None
    if strict:
        raise ValueError(
            f"labels {_listed(classes)} do not say which is fake: expected 0/1, "
            "booleans or REAL/FAKE" + (f"; {advice}" if advice else "")
        )
    return classes[1] if len(classes) == 2 else None


def _meanings(classes: Iterable[Any]) -> list[int] | None:
    """Return 0 (real) or 1 (fake) for each class, None where they do not say."""
    labels = [label.item() if isinstance(label, np.generic) else label
              for label in classes]  # fmt: skip
    if all(isinstance(label, NUMBERS) and label in (0, 1) for label in labels):
        return [int(label) for label in labels]
    if not all(isinstance(label, str) for label in labels):
        return None
    words = [label.lower() for label in labels]
    for spellings in _READINGS:
        if set(words) <= set(spellings):
            return [spellings[word] for word in words]
    return None


def _listed(classes: np.ndarray, at_most: int = 6) -> str:
    names = [repr(label) for label in classes[:at_most].tolist()]
    return ", ".join(names) + (", ..." if len(classes) > at_most else "")
