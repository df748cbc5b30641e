"""Progress bars: on a terminal, for who asked; otherwise silence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    items: Iterable[Any] | None = None,
    text: str | None = None,
    total: int | None = None,
    initial: int = 0,
) -> Any:
    """Return a tqdm bar over items, or one to update by hand.

    Parameters
    ----------
    items : iterable or None, default=None
        What to go through.
    text : str or None, default=None
        What to write before the bar; None shows none.
    total : int or None, default=None
        Number of steps, where items do not tell.
    initial : int, default=0
        Steps done before.

    Returns
    -------
    tqdm

    Examples
    --------
    >>> from base_models.runtime.progress import progress_bar
    >>> sum(progress_bar([1, 2]))
    3
    """
    # tqdm's None: no bar where the output is no terminal.
    disable = None if text else True
    return tqdm(
        items, desc=text, total=total, initial=initial, leave=False, disable=disable
    )
