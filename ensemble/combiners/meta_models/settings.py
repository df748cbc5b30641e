"""Checks of the parameters of `Stacking`, before it learns anything."""

from __future__ import annotations

from typing import Any

from ensemble.combiners.parts.checks import check_flags, check_whole, is_number


def check_settings(stacking: Any) -> None:
    """Refuse what no meta-model could be fitted with, naming the parameter.

    Parameters
    ----------
    stacking : Stacking
    """
    check_whole(stacking, "inner_folds", 1)
    check_whole(stacking, "n_rounds", 0, "auto")
    check_whole(stacking, "num_leaves", 2, None)
    check_flags(stacking, "missing_indicator", "monotone")
    shrinkage = stacking.shrinkage
    is_auto = isinstance(shrinkage, str) and shrinkage == "auto"
    if not is_auto and not (is_number(shrinkage) and shrinkage >= 0):
        raise ValueError(
            f"shrinkage must be a number >= 0, inf or 'auto'; got {shrinkage!r}"
        )
    sees_more = stacking.passthrough is not None or stacking.missing_indicator
    of_scores_alone = (
        isinstance(stacking.meta_model, str) and stacking.meta_model == "logistic"
    ) and stacking.monotone
    if sees_more and of_scores_alone and not stacking.layers:
        raise ValueError(
            'meta_model="logistic" weighs scores alone and takes neither '
            "passthrough nor missing_indicator; use monotone=False, or "
            '"pairs", "lightgbm", "mlp" or a scikit-learn classifier'
        )
