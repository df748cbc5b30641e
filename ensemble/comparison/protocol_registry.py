"""What a protocol is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Videos to judge, and those that may be learned from.

    Attributes
    ----------
    name : str
        What is held out, such as a method; "" where it is groups alone.
    repeat, fold : int
    train, test : int ndarray
        Rows, none in both, nor any group.
    inner : int ndarray of shape (n_train,) or None
        For each training row the fold it is in when it is judged itself; None where a
        split stands alone.
    """

    name: str
    repeat: int
    fold: int
    train: NDArray
    test: NDArray
    inner: NDArray | None = None


@dataclass(frozen=True)
class SplitTask:
    """What a protocol splits, and how; see `protocol_splits`.

    Attributes
    ----------
    is_fake, codes : int ndarray of shape (n_videos,)
        1 for fake; the number of each video's group.
    column : str or None
        Of the metadata: the protocol's own.
    values : Series of shape (n_videos,) or None
        What that column holds.
    n_folds, repeats, random_state : int
    hold_out : sequence, number, date or None
    own_fold : int ndarray of shape (n_videos,) or None
    notes : dict
        What a reader should know; a protocol adds to it.
    """

    is_fake: NDArray
    codes: NDArray
    column: str | None
    values: pd.Series | None
    n_folds: int
    repeats: int
    random_state: int
    hold_out: Any
    own_fold: NDArray | None
    notes: dict


@dataclass(frozen=True)
class Protocol:
    """A way to hold videos out, as `PROTOCOLS` lists it.

    Attributes
    ----------
    label : str
        What is judged and what is learned from: a sentence for reports.
    splits : callable
        SplitTask -> list of Split.
    columns : tuple of str
        Of the metadata: it needs the first, or one of the others in its place.
    unseen : str or None
        What is held out beside groups, such as "method". Strategies are then also
        judged where it was seen, to say what that costs.
    draws : bool
        Whether the seed decides, so that repeats differ.
    """

    label: str
    splits: Callable[[SplitTask], list[Split]]
    columns: tuple[str, ...] = ()
    unseen: str | None = None
    draws: bool = False


PROTOCOLS: dict[str, Protocol] = {}


def protocol(
    name: str,
    label: str,
    columns: tuple[str, ...] = (),
    unseen: str | None = None,
    draws: bool = False,
) -> Callable:
    """List a function among `PROTOCOLS` by its name; see `Protocol` for the rest."""

    def register(splits):
        PROTOCOLS[name] = Protocol(label, splits, columns, unseen, draws)
        return splits

    return register
