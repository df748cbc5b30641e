"""What to take of the strategies that were compared, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble.combiners.strategies import (
    CHOSEN_MEMBER,
    MEAN,
    simplest_of_the_highest,
)
from ensemble.comparison.wording.summary_text import beats_guessing, state_against

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.comparison.result import ComparisonFacts

_RIVALS = {MEAN: "mean", CHOSEN_MEMBER: "chosen_member"}  # what is simple


def advice_on(
    winner: str | None, table: pd.DataFrame, facts: ComparisonFacts
) -> tuple[str | None, tuple[str, ...]]:
    """Say whether something simpler than the winner would do as well.

    The plain mean and a single detector are simple. Of the two the higher counts, of
    those that are shown to be better than guessing.

    Parameters
    ----------
    winner : str or None
        The strategy of the highest AUC; None where it may be a guess.
    table : DataFrame
        One row a member or strategy, as in `ensemble.comparison.Comparison`.
    facts : ComparisonFacts

    Returns
    -------
    advice : str or None
        None where nothing simpler would do, or nothing is worth taking.
    to_take : tuple of str
        The strategies to choose from; none where nothing is worth taking.
    """
    if winner is None:
        return None, ()
    strategies = table[table["kind"] == "strategy"]
    is_highest = not (strategies["auc"] > table.loc[winner, "auc"]).any()
    none = "No" if is_highest else "Of those shown to be better than guessing no"
    if winner == MEAN:
        return f"{none} strategy is above the plain mean, the simplest: take it.", (
            MEAN,
        )
    if winner == CHOSEN_MEMBER:
        said = f"{none} ensemble is above the best single detector: take it alone."
        return said, (winner,)
    plain = table[table.index.isin(list(_RIVALS)) & beats_guessing(table)]
    if plain.empty:
        return None, (winner,)
    simple = simplest_of_the_highest(plain["auc"])
    if state_against(table.loc[winner], _RIVALS[simple], facts) == "beats":
        return None, (winner,)
    called = "The plain mean" if simple == MEAN else "The best single detector"
    return f"{called} is simpler and may be as good.", (winner, simple)
