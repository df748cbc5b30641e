"""Rows in whole blocks: a score does not depend on how many others are asked for."""

from collections.abc import Callable

import numpy as np

_BLOCK = 64  # rows: what computes several at once has no rest then


def in_blocks(function: Callable, rows: np.ndarray) -> np.ndarray:
    """Call a function with rows, of which it gives a number each.

    Sums of products are computed in another order for a single row, and for those that
    are left at the end, so that the last bit of a result would depend on how many rows
    there are. So the last one is repeated until the block is whole.

    Parameters
    ----------
    function : callable
    rows : ndarray of shape (n_rows, n_columns), n_rows > 0

    Returns
    -------
    ndarray of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.combiners.parts.blocks import in_blocks
    >>> in_blocks(lambda rows: rows.sum(axis=1) + len(rows), np.ones((3, 2)))
    array([66., 66., 66.])
    """
    missing = -len(rows) % _BLOCK
    whole = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
    return function(np.ascontiguousarray(whole))[: len(rows)]
