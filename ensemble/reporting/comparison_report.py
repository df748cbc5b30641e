"""The report on a comparison: one HTML file that needs nothing beside it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from base_models.inputs import Videos, as_videos
from ensemble.combiners import GreedySelection, OptimizedWeights, Stacking
from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN
from ensemble.metrics.member_diversity import diversity
from ensemble.reporting import plots
from ensemble.reporting.html import thumbnail, write_page
from ensemble.reporting.svg import inline_svg
from ensemble.scores.row_order import in_row_order

_MOST_CURVES = 6
_MOST_PAIRS = 28
_N_WORST = 12
_METRICS = {
    "average_precision": "Average precision",
    "brier": "Brier score",
    "equal_error_rate": "Equal error rate",
    "tpr_at_fpr_1": "Found at 1 % false alarms",
    "tpr_at_fpr_5": "Found at 5 %",
    "tpr_at_fpr_10": "Found at 10 %",
    "balanced_accuracy": "Balanced accuracy",
    "expected_calibration_error": "Calibration error",
}
_NESTINGS = {
    "exact": "Exact: no score that was learned from or judged comes from a detector "
    "that was fitted on the judged groups.",
    "stored": "Approximate: one out-of-fold table is used throughout; its detectors "
    "saw the labels of other folds, the judged ones among them, which reads slightly "
    "too well.",
    "unstated": "Not stated: exact if no detector was fitted on these videos, "
    "approximate if their scores are out of fold.",
}


def write_report(
    comparison: Any,
    path: str | Path,
    title: str = "Comparison of deepfake detectors",
    videos: Videos | None = None,
) -> Path:
    """Write what a comparison found as one HTML file; needs matplotlib and jinja2.

    It loads nothing from anywhere, runs no script, follows the reader's light or dark
    setting, fits a phone and prints. The same comparison gives the same bytes.

    Parameters
    ----------
    comparison : Comparison
        From `ensemble.compare_strategies`.
    path : str or Path
        Folders that are missing are made.
    title : str
    videos : sequence of length n_videos or None, default=None
        For thumbnails of the worst; None tries the ids of the rows as paths. A video
        that cannot be read has none.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble import compare_strategies
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> scores = pd.DataFrame(
    ...     {name: 1 / (1 + np.exp(rng.normal(1 - 2 * y, 1.5))) for name in "ab"}
    ... )
    >>> found = compare_strategies(scores, y, strategies=["log_odds"], n_boot=50)
    >>> page = write_report(found, tempfile.mkdtemp() + "/report.html")
    >>> "<h1>Comparison of deepfake detectors</h1>" in page.read_text()
    True
    """
    if videos is not None:
        videos = as_videos(in_row_order(videos, comparison.members, "videos"))
    return write_page("report.html", _content(comparison, title, videos), path)


def shown_strategies(comparison: Any) -> list[str]:
    """Choose what curves are drawn of: the best ensemble, what it is held against, all.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of str
        What the comparison is about, or the best ensemble, first; at most six.
    """
    table, facts = comparison.judged, comparison.facts
    ours = table.index[
        (table["kind"] == "strategy") & ~table.index.isin([MEAN, CHOSEN_MEMBER])
    ]
    subject = [] if comparison.subject is None else [comparison.subject]
    wanted = [*subject, *ours[:1], *facts.automatic, MEAN, facts.best_member]
    members = table.index[table["kind"] == "member"]
    return list(dict.fromkeys([*wanted, *members]))[:_MOST_CURVES]


def worst_videos(
    comparison: Any, strategy: str, n_worst: int = _N_WORST
) -> pd.DataFrame:
    """List the videos on which a strategy is furthest from the truth.

    Parameters
    ----------
    comparison : Comparison
    strategy : str
    n_worst : int, default=12

    Returns
    -------
    DataFrame
        One row a video: ``row`` of the scores, ``is_fake``, ``p_fake`` (the mean over
        the times it was judged) and ``off``, how far that is from the label.
    """
    judged = pd.concat([panel.scores[strategy] for panel in comparison.panels])
    p_fake = judged.groupby(level=0).mean().dropna()
    rows = p_fake.index.to_numpy()
    table = pd.DataFrame(
        {"row": rows, "is_fake": comparison.y[rows], "p_fake": p_fake.to_numpy()},
        index=comparison.members.index[rows],
    )
    table["off"] = (table["is_fake"] - table["p_fake"]).abs()
    table = table.sort_values("off", ascending=False, kind="stable").head(n_worst)
    return table[table["off"] > 0]


def _content(comparison, title, videos):
    """Return all that the template shows."""
    facts, table = comparison.facts, comparison.judged
    shown = shown_strategies(comparison)
    weights = _weights(comparison)
    by_value = _by_value(comparison, shown)
    pairs = diversity(comparison.members_as_p_fake, comparison.y)
    pairs = pairs.sort_values("score_correlation", kind="stable").head(_MOST_PAIRS)
    return {
        "title": title,
        "lead": comparison.lead,
        "advice": comparison.advice,
        "details": comparison.details,
        "facts": facts,
        "level": f"{facts.level:.0%}".replace("%", " %"),
        "table": table,
        "seen": comparison.seen,
        "first": shown[0],
        "shown": shown,
        "metrics": _METRICS,
        "mean_name": MEAN,
        "figures": _figures(comparison, shown, weights),
        "pairs": pairs,
        "weights": weights,
        "ablation": comparison.ablation,
        "by_value": by_value,
        "worst": _worst(comparison, shown[0], videos),
        "members": list(comparison.members.columns),
        "computed": _computed(comparison),
    }


@dataclass(frozen=True)
class _Judged:
    """What all have scored, the panels one below the other."""

    y: np.ndarray  # (n_rows,)
    scores: pd.DataFrame  # (n_rows, n_strategies)
    panel: np.ndarray
    fold: np.ndarray
    video: np.ndarray

    @classmethod
    def of(cls, comparison):
        panels = [panel.common() for panel in comparison.panels]
        return cls(
            np.concatenate([panel.y for panel in panels]),
            pd.concat([panel.scores for panel in panels], ignore_index=True),
            np.repeat(np.arange(len(panels)), [len(panel.y) for panel in panels]),
            np.concatenate([panel.fold for panel in panels]),
            np.concatenate([panel.rows for panel in panels]),
        )


def _figures(comparison, shown, weights):
    """Draw every plot: name -> SVG. A figure is a function below that describes it."""
    judged = _Judged.of(comparison)
    figures = [
        *_curve_figures(comparison, shown, judged),
        *_member_figures(comparison, weights),
        *_spread_figures(shown, judged),
        *_value_figures(comparison, shown[0]),
    ]
    return {name: inline_svg(name, *described) for name, *described in figures}


def _curve_figures(comparison, shown, judged):
    """Yield name, drawing, title, text and size of the plots of strategies."""
    table, y, scores = comparison.judged, judged.y, judged.scores[shown]
    auc = table.loc[shown, "auc"]
    yield (
        "strategies",
        lambda ax: plots.plot_strategies(table, ax=ax),
        "AUC of members and strategies with intervals",
        f"Best is {table.index[0]}, {table['auc'].iloc[0]:.4f}; all figures are in "
        "the table below.",
        (6.6, min(12.0, 1.3 + 0.24 * len(table))),
    )
    yield (
        "roc",
        lambda ax: plots.plot_roc(y, scores, judged.panel, auc, ax, judged.fold),
        "ROC curves",
        f"Areas: {_listed(auc, '.4f')}",
        (4.7, 4.9),
    )
    yield (
        "det",
        lambda ax: plots.plot_det(y, scores, judged.panel, ax, judged.fold),
        "Detection error trade-off",
        f"Equal error rates: {_listed(table.loc[shown, 'equal_error_rate'], '.3f')}",
        (4.7, 4.9),
    )
    errors = table.loc[shown, "expected_calibration_error"]
    yield (
        "reliability",
        lambda ax: plots.plot_reliability(y, scores, ax=ax, video=judged.video),
        "Reliability diagram",
        f"Calibration errors: {_listed(errors, '.3f')}",
        (4.7, 4.9),
    )


def _member_figures(comparison, weights):
    members, ablation = comparison.members_as_p_fake, comparison.ablation
    yield (
        "correlation",
        lambda ax: plots.plot_correlation(members, comparison.y, ax),
        "Correlation of the members' errors",
        "Each two members' errors; the table beside it has the figures.",
        (4.7, 4.2),
    )
    yield (
        "contributions",
        lambda ax: plots.plot_contributions(ablation, ax),
        "What each member adds",
        _listed(ablation["adds"], "+.4f"),
        (4.7, 1.2 + 0.45 * len(members.columns)),
    )
    if weights.shape[1]:
        yield (
            "weights",
            lambda ax: plots.plot_weights(weights, ax),
            "Weight of each member",
            "The table below has the figures.",
            (4.7, 1.5 + 0.5 * len(weights)),
        )


def _spread_figures(shown, judged):
    y, video = judged.y, judged.video
    for place, name in enumerate(shown):
        score = judged.scores[name]
        yield (
            f"spread-{place}",
            lambda ax, score=score: plots.plot_score_distribution(
                y, score, ax=ax, video=video
            ),
            f"Scores of {name} by class",
            spread_in_words(y, score.to_numpy(), video),
            (4.7, 2.9),
        )


def _value_figures(comparison, first):
    names = list(dict.fromkeys([first, MEAN, comparison.facts.best_member]))
    for place, (axis, by_value) in enumerate(comparison.by_group_of.items()):
        n_values = by_value.shape[1]
        if n_values > 20:
            continue
        yield (
            f"by-{place}",
            lambda ax, axis=axis: plots.plot_by_value(
                comparison.by_value, axis, names, ax
            ),
            f"AUC by {axis}",
            "The table below has the figures.",
            (6.6, 1.6 + 0.42 * n_values),
        )


def _listed(figures, style):
    """List a Series as "name figure; name figure."."""
    return "; ".join(f"{name} {value:{style}}" for name, value in figures.items()) + "."


def spread_in_words(y, score, video):
    """Quartiles of each class; a video judged several times counts once."""
    share = plots.rows_of_videos(video, len(video))[1]
    parts = []
    for label, called in ((0, "reals"), (1, "fakes")):
        own = y == label
        low, middle, high = weighted_quartiles(score[own], share[own])
        parts.append(
            f"{called}: median {middle:.3f}, middle half {low:.3f} to {high:.3f}"
        )
    return "; ".join(parts) + "."


def weighted_quartiles(values, weight):
    """Where a quarter, a half and three quarters of the weight lie below."""
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order]
    if np.ptp(weight) == 0:
        return np.quantile(values, [0.25, 0.5, 0.75])
    below = np.cumsum(weight) / weight.sum()
    quarters = np.array([0.25, 0.5, 0.75])
    # where a quarter ends on a value, half way to the next
    ends = [np.searchsorted(below, quarters + slack) for slack in (-1e-9, 1e-9)]
    return np.mean([values[np.minimum(end, len(values) - 1)] for end in ends], axis=0)


def _weights(comparison):
    """Fit what has weights on all videos; one column a strategy, adding up to 1."""
    kinds = (GreedySelection, OptimizedWeights, Stacking)
    known = comparison.members.notna().any(axis=1).to_numpy()
    found = {}
    for name, combiner in comparison.strategies.items():
        if name == CHOSEN_MEMBER or not isinstance(combiner, kinds):
            continue
        if isinstance(combiner, Stacking) and combiner.meta_model != "logistic":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the comparison has told them
            fitted = clone(combiner).fit(
                comparison.members[known],
                comparison.y[known],
                groups=comparison.groups[known],
            )
        weights = getattr(fitted, "weights_", None)
        if weights is not None and np.sum(weights) > 0:
            found[name] = np.asarray(weights) / np.sum(weights)
    return pd.DataFrame(found, index=comparison.members.columns)


def _by_value(comparison, shown):
    """Return for each axis its values, each with the lines of what is shown."""
    found = {}
    for axis in comparison.by_group_of:
        lines = comparison.by_value[comparison.by_value["axis"] == axis]
        found[axis] = [
            (value, own.set_index("strategy").loc[shown])
            for value, own in lines.groupby("value", sort=False)
        ]
    return found


def _worst(comparison, strategy, videos):
    table = worst_videos(comparison, strategy)
    metadata = comparison.metadata
    beside = [] if metadata is None else list(metadata.columns)
    entries = []
    for video, line in table.iterrows():
        row = int(line["row"])
        given = comparison.members.index[row] if videos is None else videos[row]
        entries.append(
            {
                "name": _short(video),
                "full": str(video),
                "thumbnail": thumbnail(given),
                "is_fake": bool(line["is_fake"]),
                "wrong": (line["p_fake"] > 0.5) != bool(line["is_fake"]),
                "p_fake": line["p_fake"],
                "members": list(comparison.members.iloc[row]),
                "beside": [metadata[column].iloc[row] for column in beside],
            }
        )
    return {
        "videos": entries,
        "beside": beside,
        "seen": any(entry["thumbnail"] for entry in entries),
    }


def _short(video):
    """The last two parts of a path; ids that are no paths as they are."""
    parts = str(video).replace("\\", "/").split("/")
    return "/".join(parts[-2:])


def _computed(comparison):
    """What a reader must know to do it again, as (what, how) pairs."""
    facts = comparison.facts
    folds = f"{facts.n_folds} group folds" + (
        f", drawn {facts.repeats} times" if facts.repeats > 1 else ""
    )
    rows = [
        ("Videos", f"{facts.n_videos}, {facts.n_fakes} of them fake; "
         f"{facts.videos_judged} judged"),
        ("Groups", f"{facts.n_groups}; {facts.n_groups_judged} judged"
         if facts.groups_given else "none given: each video by itself"),
        ("Judged on", f"{facts.coverage:.1%}".replace("%", " %")
         + " of the videos held out: those that everyone has scored"),
        ("Protocol", comparison.protocol_label),
        ("Nesting", _NESTINGS.get(facts.nesting, facts.nesting)),
        ("Folds", folds),
        ("Rank metrics", "AUC, average precision, equal error rate, found at false "
         "alarms: a fake is compared with the reals of its own fold alone"
         + (", and of the fold in which the members were fitted"
            if facts.folds_of_the_table else "")
         + f"; {facts.ranked:.1%}".replace("%", " %")
         + " of the videos have such a rival. Other metrics take all folds together"),
        ("Compared from", "videos: detectors were fitted for it"
         if facts.compared == "detectors" else "a table of scores"),
    ]  # fmt: skip
    rows += [
        (name, value)
        for name, value in (
            ("Fits of each detector", facts.fits_of_each_detector),
            ("First judged", facts.first_judged),
            ("Left aside", facts.left_aside),
            ("Not judged", facts.not_judged),
        )
        if value
    ]
    rows += [
        ("Intervals", f"{facts.level:.0%}".replace("%", " %") + f", percentiles of "
         f"{facts.n_boot} bootstrap draws of whole groups, the same draws for all"),
        ("Seed", facts.random_state),
        ("Hash of the scores", facts.hash_of_the_scores),
        ("Versions", ", ".join(f"{n} {v}" for n, v in facts.versions.items())),
    ]  # fmt: skip
    return rows
