"""What a comparison starts from: scores or detectors, checked, and its settings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from base_models.groups import clean_groups, group_codes
from base_models.inputs import Videos, encode_labels, with_labels
from base_models.store.store import Store
from ensemble.choices import NESTINGS
from ensemble.combiners.parts.checks import check_different_names
from ensemble.combiners.parts.detection import warn_of_other_scales
from ensemble.combiners.super_learner.shift_folds import shift_codes
from ensemble.comparison.protocol_registry import Split
from ensemble.comparison.training_data import origin_of
from ensemble.metrics.within_folds import folds_of_table
from ensemble.scores.columns import check_not_labels
from ensemble.scores.looks import ANY_SCALE, HEAVY_TAILED, looks_of
from ensemble.scores.provenance import Provenance
from ensemble.scores.row_order import in_row_order
from ensemble.scores.table import check_complete, companions

_DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class ComparisonSettings:
    """How to compare; see `ensemble.compare_strategies`."""

    protocol: str = "group-kfold"
    n_folds: int = _DEFAULT_FOLDS
    repeats: int = 1
    n_boot: int = 1000
    level: float = 0.95
    random_state: int = 0
    n_jobs: int | None = None
    store: Store | str | None = None
    device: str | None = None
    verbose: bool = False
    on_error: str = "raise"


@dataclass(frozen=True)
class ComparisonInput:
    """What is compared, checked.

    Attributes
    ----------
    is_fake : int ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None
        As given.
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups.
    nesting : {"stored", "exact", "unstated"}
        As given, or as the provenance of a table says.
    prefit : list of str
        Members that were fitted before.
    trained_on : dict of str to (list of str or None)
        What these and others that started from a checkpoint have seen; None: unknown.
    origin : DataFrame of shape (n_videos, 3)
        Data set, split and label; see `origin_of`.
    metadata : DataFrame with n_videos rows
    members : DataFrame of shape (n_videos, n_members) or None
        The table of scores; None where detectors are compared.
    table_folds : int ndarray of shape (n_videos,) or None
        The folds in which the table's members were fitted.
    detectors : list of (name, detector)
    videos : sequence of length n_videos or None
    shift : int ndarray of shape (n_videos,) or None
        Numbers of what will be new in use.
    """

    is_fake: NDArray
    groups: NDArray | None
    codes: NDArray
    nesting: str
    prefit: list[str]
    trained_on: dict[str, list[str] | None]
    origin: pd.DataFrame
    metadata: pd.DataFrame
    members: pd.DataFrame | None = None
    table_folds: NDArray | None = None
    detectors: list[tuple[str, Any]] = field(default_factory=list)
    videos: Videos | None = None
    shift: NDArray | None = None

    @property
    def is_table(self) -> bool:
        """Whether scores are compared, and not detectors."""
        return self.members is not None

    @property
    def names(self) -> list[str]:
        """Of the members."""
        if self.is_table:
            return list(self.members.columns)
        return [name for name, _ in self.detectors]

    @property
    def default_folds(self) -> int:
        """As many as the table has, else 5."""
        if self.table_folds is None:
            return _DEFAULT_FOLDS
        return int(self.table_folds.max()) + 1

    @property
    def all_prefit(self) -> bool:
        """Whether every member was fitted before."""
        return self.prefit == self.names

    def without(self, failed: Collection[str]) -> "ComparisonInput":
        """Return it without detectors that failed."""
        return replace(
            self,
            detectors=[each for each in self.detectors if each[0] not in failed],
            prefit=[name for name in self.prefit if name not in failed],
            trained_on={n: d for n, d in self.trained_on.items() if n not in failed},
        )

    def folds_of(self, splits: Sequence[Split]) -> list[NDArray] | None:
        """Return the table's folds of each split's training rows, if it has any."""
        if self.table_folds is None:
            return None
        return [self.table_folds[split.train] for split in splits]


def check_input(
    detectors_or_scores: Any,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    metadata: pd.DataFrame | None = None,
    videos: Videos | None = None,
    nesting: str | None = None,
    fake_label: Any = None,
    shift: ArrayLike | None = None,
) -> ComparisonInput:
    """Check what is to be compared; see `ensemble.compare_strategies`.

    Parameters
    ----------
    detectors_or_scores, y, groups, metadata, videos, nesting, fake_label, shift
        As for `ensemble.compare_strategies`.
    """
    if nesting not in (None, *NESTINGS):
        raise ValueError(f"nesting must be 'stored' or 'exact'; got {nesting!r}")
    is_table = isinstance(detectors_or_scores, (pd.DataFrame, np.ndarray))
    rows = detectors_or_scores if is_table else videos
    if is_table == (videos is not None):
        raise TypeError(
            "compare a table of scores, or detectors with videos=...; got "
            f"{type(detectors_or_scores).__name__}"
            + (" and videos" if is_table else " without videos")
        )
    y, groups = in_row_order(y, rows, "y"), in_row_order(groups, rows, "groups")
    if is_table:
        members, y, groups = _checked_table(detectors_or_scores, y, groups)
        folds = None if nesting == "exact" else folds_of_table(members)
        compared = {"members": members, "table_folds": folds}
        nesting, prefit = (nesting, []) if nesting else _stated_nesting(members)
        trained_on = Provenance.of(members).trained_on
        trained_on = {name: trained_on[name] for name in members if name in trained_on}
        source = None
    else:
        metadata = getattr(videos, "metadata", None) if metadata is None else metadata
        source = videos
        videos, y, groups = with_labels(videos, y, groups)
        if y is None:
            raise ValueError("detectors are fitted for the comparison; y is needed")
        named, prefit, trained_on = _named_detectors(detectors_or_scores)
        compared = {"detectors": named, "videos": videos}
    _, is_fake = encode_labels(y, fake_label)
    n_videos = len(is_fake)
    if videos is not None and len(videos) != n_videos:
        raise ValueError(f"y must have {len(videos)} labels; got {n_videos}")
    groups = clean_groups(groups, n_videos)
    metadata = _checked_metadata(metadata, n_videos, rows)
    compared["shift"] = shift_codes(in_row_order(shift, rows, "shift"), n_videos)
    return ComparisonInput(
        is_fake,
        groups,
        group_codes(groups, n_videos),
        nesting or "stored",
        prefit,
        trained_on,
        origin_of(source, metadata, is_fake),
        metadata,
        **compared,
    )


def other_scales(members: pd.DataFrame | None) -> dict[str, str] | None:
    """Name the columns of a table that are no P(fake), and what becomes of them.

    Parameters
    ----------
    members : DataFrame of shape (n_videos, n_members) or None

    Returns
    -------
    dict of str to {"standardised", "ranked"}, or None
        None where there are none.

    Examples
    --------
    >>> other_scales(pd.DataFrame({"p": [0.1, 0.9], "logit": [-2.0, 3.0]}))
    {'logit': 'standardised'}
    """
    if members is None:
        return None
    done = {ANY_SCALE: "standardised", HEAVY_TAILED: "ranked"}
    looks = zip(members, looks_of(members.to_numpy(float)), strict=True)
    return {str(name): done[look] for name, look in looks if look in done} or None


def warn_of_scales(members: pd.DataFrame | None) -> None:
    """Say of which columns of a table that holds; see `other_scales`."""
    if members is not None:
        values = members.to_numpy(float)
        warn_of_other_scales(values, looks_of(values), list(members))


def _checked_table(table, y, groups):
    """Return members' scores, labels and groups of a table of scores."""
    if isinstance(table, np.ndarray):
        table = pd.DataFrame(np.asarray(table, float)).add_prefix("p_")
    check_different_names(table)
    if not len(table.columns):
        raise ValueError(
            "a table of scores needs a column for each detector; got none: name the "
            "columns that hold scores"
        )
    wrong = [n for n in table if not pd.api.types.is_numeric_dtype(table[n])]
    if wrong:
        raise ValueError(
            f"column {wrong[0]!r} holds no numbers; read the table by "
            "read_scores(frame, scores=...), which keeps labels and groups beside it"
        )
    values = table.to_numpy(float)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"a score is a finite number or NaN; got {values[row, column]} at row "
            f"{row} in column {table.columns[column]!r}; clip it, or make it NaN"
        )
    beside = companions(table)
    if y is None:
        if beside["label"].isna().all():
            raise ValueError("the table has no labels beside it; give y")
        check_complete(beside["label"], "label", "label these videos or drop them")
        y = beside["label"].to_numpy()
    if groups is None and beside["group"].notna().any():
        check_complete(
            beside["group"],
            "group",
            "fill them in, drop these rows, give each of them a group of its own, or "
            "take another column for the groups (group=, --group)",
        )
        groups = beside["group"].to_numpy()
    if len(y) != len(table):
        raise ValueError(f"y must have {len(table)} labels; got {len(y)}")
    provenance = Provenance.of(table)
    suspects = [  # scores known to be out of fold are no copy of the label
        place
        for place, name in enumerate(table)
        if not provenance.out_of_fold or name in provenance.prefit
    ]
    names = [str(table.columns[place]) for place in suspects]
    check_not_labels(values[:, suspects], names, y, by_default=False)
    return table.astype(float), y, groups


def _checked_metadata(metadata, n_videos, rows):
    if metadata is None:
        return pd.DataFrame(index=range(n_videos))
    metadata = pd.DataFrame(metadata)
    if len(metadata) != n_videos:
        raise ValueError(
            f"metadata must have one row per video, {n_videos}; got {len(metadata)}"
        )
    metadata = in_row_order(metadata, rows, "metadata").reset_index(drop=True)
    for column in metadata.columns.difference(["time", "date"], sort=False):
        if metadata[column].dtype == object or isinstance(
            metadata[column].dtype, pd.StringDtype
        ):
            entries = metadata[column].astype(object).to_numpy()
            metadata[column] = pd.Series(
                clean_groups(entries, n_videos, True, f"entries of {column}"),
                dtype=object,
            )
    return metadata


def _stated_nesting(table):
    """Say what its provenance makes of a score table, and who was fitted before."""
    provenance = Provenance.of(table)
    prefit = [name for name in table if name in provenance.prefit]
    if len(prefit) == len(table.columns):
        return "exact", prefit
    nesting = {True: "stored", False: "exact"}
    return nesting.get(provenance.out_of_fold, "unstated"), prefit


def _named_detectors(detectors):
    """Name detectors; list those that were fitted before, and what was seen before."""
    from base_models.scoring.naming import name_detectors
    from ensemble.out_of_fold.table import provenance_of

    named = name_detectors(detectors)
    known = provenance_of(named)
    return named, known.get("prefit", []), known.get("trained_on", {})
