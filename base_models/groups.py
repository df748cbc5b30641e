"""Groups of videos as they are given -> checked entries and codes."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import NUMBERS, WHOLE, clean_text, untouched

_WORDS_FOR_NOTHING = ("nan", "NaN", "None", "<NA>", "NaT")

_AS_FRACTION = re.compile(r"(-?[0-9]+)\.0*")


def clean_groups(
    groups: Any, n_videos: int, allow_missing: bool = False, what: str = "groups"
) -> np.ndarray | None:
    """Return groups in one spelling each, so that equal ones are equal.

    Text loses white space around it and is brought to Unicode's form NFC; where numbers
    and text are mixed all become text, 7, 7.0 and ``"7"`` alike (``"007"`` is another).
    What this joins is said in a warning. Groups that are clean come back as they are.

    Parameters
    ----------
    groups : array-like of shape (n_videos,) or None
        Who must stay together; None stays None.
    n_videos : int
    allow_missing : bool, default=False
        Whether some may have no group; they come back as None.
    what : str, default="groups"
        What they are, for warnings.

    Returns
    -------
    ndarray of shape (n_videos,) or None

    Raises
    ------
    ValueError
        If there are more or fewer than videos, or some are missing.

    Examples
    --------
    >>> import warnings
    >>> from base_models.groups import clean_groups
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     clean_groups(["ann", " ann", "bob"], 3).tolist()
    ['ann', 'ann', 'bob']
    """
    if groups is None:
        return None
    groups = np.asarray(untouched(groups))
    _check_shape(groups, n_videos)
    if groups.dtype.kind in "iub":
        return np.asarray(groups)
    if groups.dtype.kind in "mM":
        groups = np.where(np.isnat(groups), "", groups.astype(str))
    codes, found = pd.factorize(groups)
    found = [g.item() if isinstance(g, np.generic) else g for g in found]
    texts = _numbers_alike([clean_text(group) for group in found])
    missing = np.array([text == "" for text in texts] + [True])[codes]  # -1: the last
    if missing.any() and not allow_missing:
        raise ValueError(
            f"every video needs a group; {missing.sum()} of {n_videos} have none, the "
            f"first at row {np.flatnonzero(missing)[0]}: fill them in, drop these "
            "rows, or give each of them a group of its own"
        )
    if what == "groups":
        _warn_of_words_for_nothing(texts, codes)
        _warn_of_case(texts)
    clean: Any = groups
    if texts != found and not all(isinstance(group, NUMBERS) for group in found):
        _warn_of_joined(found, texts, what)
        clean = np.array([*texts, ""])[codes]
    return np.asarray(np.where(missing, None, clean) if missing.any() else clean)


def group_codes(groups: Any, n_videos: int) -> np.ndarray:
    """Number the groups 0, 1, ... in sorted order; None makes each row its own.

    Groups that are all whole numbers are sorted by value, also where they are text, so
    that a table read from a file gives what the same numbers give in Python.

    Parameters
    ----------
    groups : array-like of shape (n_videos,) or None
        Cleaned by `clean_groups`.
    n_videos : int

    Returns
    -------
    codes : int ndarray of shape (n_videos,)

    Examples
    --------
    >>> from base_models.groups import group_codes
    >>> group_codes(["bob", "ann", "bob"], 3)
    array([1, 0, 1])
    """
    if groups is None:
        return np.arange(n_videos)
    clean = np.asarray(clean_groups(groups, n_videos))
    names, codes = np.unique(clean, return_inverse=True)
    if all(isinstance(name, str) and WHOLE.fullmatch(name) for name in names):
        place = np.empty(len(names), int)
        place[np.argsort([int(name) for name in names])] = np.arange(len(names))
        codes = place[codes]
    return np.asarray(codes)


def _numbers_alike(texts: list[str]) -> list[str]:
    """Write 7.0 as 7 where both are there, as where tables with gaps were joined."""
    whole = {text for text in texts if WHOLE.fullmatch(text)}
    found = [_AS_FRACTION.fullmatch(text) for text in texts]
    return [
        number[1] if number and number[1] in whole else text
        for text, number in zip(texts, found, strict=True)
    ]


def _check_shape(groups: np.ndarray, n_videos: int) -> None:
    pairs = groups.ndim == 2 and len(groups) == n_videos and groups.shape[1] > 1
    if groups.ndim == 1 and groups.dtype == object:
        pairs = any(isinstance(g, list | tuple | set | frozenset) for g in groups)
    if pairs:
        raise ValueError(
            "groups must have one entry per video; got several for one, as where a "
            "fake is made of two people: ensemble.resampling.identity_groups joins "
            "them into groups"
        )
    if groups.ndim != 1:
        raise ValueError(f"groups must have shape ({n_videos},); got {groups.shape}")
    if len(groups) != n_videos:
        raise ValueError(
            f"groups must have one entry per video; got {len(groups)} groups for "
            f"{n_videos} videos"
        )


def _warn_of_joined(found: Sequence[Any], texts: Sequence[str], what: str) -> None:
    spellings: dict[str, list[Any]] = {}
    for group, text in zip(found, texts, strict=True):
        spellings.setdefault(text, []).append(group)
    joined = [" and ".join(map(repr, s)) for s in spellings.values() if len(s) > 1]
    if joined:
        warnings.warn(
            f"{what} that differ only in white space, type or Unicode form are taken "
            f"for one: {'; '.join(joined[:5])}"
            + (f"; and {len(joined) - 5} more" if len(joined) > 5 else ""),
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def _warn_of_case(texts: Sequence[str]) -> None:
    alike: dict[str, set[str]] = {}
    for text in texts:
        alike.setdefault(str(text).casefold(), set()).add(str(text))
    apart = [" and ".join(map(repr, sorted(s))) for s in alike.values() if len(s) > 1]
    if apart:
        warnings.warn(
            "groups that differ only in upper and lower case are kept apart: "
            f"{'; '.join(apart[:5])}"
            + (f"; and {len(apart) - 5} more" if len(apart) > 5 else "")
            + ". If they are of one person or source, write them alike",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def _warn_of_words_for_nothing(texts: Sequence[str], codes: np.ndarray) -> None:
    for code, text in enumerate(texts):
        if text in _WORDS_FOR_NOTHING and (codes == code).sum() > 1:
            warnings.warn(
                f"{(codes == code).sum()} of {len(codes)} videos are in one group "
                f"called {text!r}; if that was made of missing groups, fill them in or "
                "give each of these videos a group of its own",
                DeepfakeEnsembleWarning,
                stacklevel=4,
            )
