"""What a fitted ensemble shows of itself: a report, and a summary in notebooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ensemble.combiners.strategies import chosen_strategies
from ensemble.comparison.compare import compare_strategies
from ensemble.comparison.wording.lead import lead_of
from ensemble.metrics.loss_and_accuracy import evaluate
from ensemble.metrics.within_folds import folds_of_table
from ensemble.out_of_fold.ensemble_scores import labels_of

if TYPE_CHECKING:
    from ensemble.comparison.result import Comparison

OWN = "this ensemble"


def write_ensemble_report(
    model: Any,
    path: str | Path,
    strategies: Any,
    metadata: Any,
    title: str | None,
    options: dict[Any, Any],
) -> Comparison:
    """Compare strategies on what an ensemble learned from; see its ``report``.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted on real and fake videos.
    path, strategies, metadata, title
        As for ``DeepfakeEnsemble.report``.
    options : dict
        For `compare_strategies`.
    """
    check_is_fitted(model)
    is_fake, groups = labels_of(model)
    if not len(is_fake):
        raise ValueError(
            "this ensemble was put together without labelled videos, so that there is "
            "nothing to compare strategies on; use compare_strategies on labelled "
            "videos, or fit the ensemble on them"
        )
    if not is_fake.any():
        raise ValueError(
            "this ensemble was fitted on real videos alone, and strategies can only be "
            "compared where there are fakes; use compare_strategies on labelled videos"
        )
    seed = options.pop("random_state", model.random_state or 0)
    options = {"n_jobs": model.n_jobs, **options}
    chosen = chosen_strategies(strategies, list(model.detectors_), seed)
    found = compare_strategies(
        model.oof_scores_,
        is_fake,
        groups=groups,
        strategies={OWN: clone(model.combiner_), **chosen},
        metadata=metadata,
        random_state=seed,
        **options,
    )
    found = _about_itself(found)
    found.to_html(path, title or "Report on an ensemble of deepfake detectors")
    return found


def _about_itself(comparison):
    """Let the verdict lead with the ensemble that was fitted, not with the highest."""
    why = (comparison.facts.failed or {}).get(OWN)
    if why is not None:
        lead = f"This ensemble could not be judged ({why}). {comparison.lead}"
        return replace(comparison, verdict="\n".join([lead, *comparison.details]))
    lead = lead_of(comparison.judged, comparison.facts, OWN)
    verdict = "\n".join([lead, *comparison.details])
    return replace(comparison, verdict=verdict, subject=OWN, advice=None, to_take=())


def ensemble_html(model: Any) -> str:
    """Return a table of the members of a fitted ensemble; nothing before it is fitted.

    Parameters
    ----------
    model : DeepfakeEnsemble
    """
    if not hasattr(model, "oof_scores_"):
        return ""
    scores = model.oof_scores_
    is_fake, groups = labels_of(model)
    rows = {}
    weights = model.weights_
    fold = folds_of_table(scores)
    for name in scores:
        score = scores[name].to_numpy()
        figures = evaluate(is_fake, score, fold=fold) if is_fake.any() else {}
        rows[name] = {
            "AUC": figures.get("auc"),
            "log loss": figures.get("log_loss"),
            "scored": f"{scores[name].notna().sum()} of {len(scores)}",
            "weight": None if weights is None else weights[name],
        }
    table = pd.DataFrame.from_dict(rows, orient="index").dropna(axis=1, how="all")
    if not len(scores):
        members = ", ".join(scores)
        return f"<p>{members}: scores of unknown calibration, no labelled videos.</p>"
    of = "" if groups is None else f" of {len(set(groups))} groups"
    said = f"Out of fold on {len(scores)} videos{of}, {int(is_fake.sum())} fake."
    return f"<p>{said}</p>" + table.to_html(float_format="{:.3f}".format, border=0)
