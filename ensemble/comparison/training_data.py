"""What members were trained on, and which of the videos that are judged it holds."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from base_models.errors import DeepfakeEnsembleWarning

# Data sets as the cards of checkpoints call them, by their kind.
_NAMES = {"faceforensics": "FaceForensics++", "dfdc": "DFDC"}
_ORIGIN = ("dataset", "split")
# How cards name training data: "FaceForensics++ c23 train, real videos alone".
_TRAINED_ON = re.compile(
    r"(?P<data>.+?)(?: (?:raw|c23|c40))?(?P<split> train)?(?:, (?P<part>.+))?"
)


def origin_of(
    videos: Any, metadata: pd.DataFrame | None, is_fake: NDArray
) -> pd.DataFrame:
    """Return data set, split and label of each video, as far as they are known.

    Parameters
    ----------
    videos : VideoTable or any other sequence
    metadata : DataFrame or None
        Taken where the videos do not say it.
    is_fake : ndarray of shape (n_videos,)

    Returns
    -------
    DataFrame of shape (n_videos, 3)
        dataset, split ("" where unknown) and is_fake.
    """
    table = getattr(videos, "table", metadata)
    columns: dict[str, Any] = dict.fromkeys(_ORIGIN, "")
    for name in _ORIGIN:
        if table is not None and name in table:
            known = table[name].astype(object)
            columns[name] = known.where(known.notna(), "").astype(str).to_numpy()
    return pd.DataFrame(columns | {"is_fake": is_fake}, index=range(len(is_fake)))


def seen_in_training(
    trained_on: dict[str, list[str] | None], origin: pd.DataFrame
) -> dict[str, int]:
    """Count the videos that the names of members' training data include.

    Parameters
    ----------
    trained_on : dict of str to (list of str or None)
        Of each member; None where it is unknown.
    origin : DataFrame
        As of `origin_of`.

    Returns
    -------
    dict of str to int
        Only members that have seen some of the videos. Data of which only the training
        split was seen count by the split of the videos, where that is known.

    Examples
    --------
    >>> from ensemble.comparison.training_data import origin_of, seen_in_training
    >>> table = pd.DataFrame({"dataset": "dfdc", "split": ["train", "test", None]})
    >>> seen_in_training({"net": ["DFDC train"]}, origin_of(None, table, [0, 1, 1]))
    {'net': 1}
    """
    seen = {}
    for member, names in trained_on.items():
        is_seen = np.zeros(len(origin), bool)
        for name in names or []:
            is_seen |= _is_of(name, origin)
        if is_seen.any():
            seen[member] = int(is_seen.sum())
    return seen


def warn_of_training_videos(
    trained_on: dict[str, list[str] | None], origin: pd.DataFrame, stacklevel: int
) -> None:
    """Say before any work which members have been trained on the videos.

    Parameters
    ----------
    trained_on, origin
        As for `seen_in_training`.
    stacklevel : int
        Of the caller's caller.
    """
    said = [
        f"{member} was trained on {', '.join(trained_on[member] or [])}, which holds "
        f"{n_seen} of the {len(origin)} videos"
        for member, n_seen in seen_in_training(trained_on, origin).items()
    ]
    if said:
        warnings.warn(
            f"{'; '.join(said)}: scores of these are in sample, and figures that stand "
            "on them read too well. Judge on videos that no member was trained on, "
            "such as those of split='test' (--split test)",
            DeepfakeEnsembleWarning,
            stacklevel=stacklevel + 1,
        )


def _is_of(name, origin):
    """Say of each video whether it is of the data that a name stands for."""
    named = _TRAINED_ON.fullmatch(name)
    if named is None:
        return np.zeros(len(origin), bool)
    datasets = origin["dataset"].replace(_NAMES).str.casefold()
    is_of = datasets == named["data"].casefold()
    if named["split"]:
        is_of &= origin["split"].str.casefold() == "train"
    if named["part"] == "real videos alone":
        is_of &= origin["is_fake"] == 0
    return is_of.to_numpy(bool)
