"""Plots of scores and strategies: plain matplotlib functions that return the axes.

Each draws on the axes it is given, or on new ones, in the colours and type that
matplotlib is set to. scikit-learn's displays draw what they know.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from base_models.runtime.file_writing import replacing
from ensemble.reporting.outputs import PLOT_MARK
from ensemble.reporting.plain_text import in_plot

_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_FEWEST = 5  # videos behind a point of a reliability diagram
_EDGE = 1e-3  # beyond it, and beyond 1 less it, scores share the outermost bin


def mean_curve(y, score, panel=None, fold=None):
    """Return the ROC curve, averaged over folds and panels at each false-alarm rate.

    The area below it is the AUC of the comparison's table: the mean over the panels, in
    each of which a fold counts by its pairs of a fake and a real. Scores of different
    fits are never mixed.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        1 for fake.
    score : array-like of shape (n_rows,)
        P(fake); rows with NaN are left out.
    panel : array-like of shape (n_rows,) or None, default=None
        Repeat, or what was held out: panels count alike.
    fold : array-like of shape (n_rows,) or None, default=None
        Rows of one panel that one fit has scored.

    Returns
    -------
    fpr, tpr : ndarray
        From (0, 0) to (1, 1).

    Examples
    --------
    >>> fpr, tpr = mean_curve([0, 1, 0, 1], [0.1, 0.9, 0.8, 0.2], [0, 0, 1, 1])
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0])
    """
    from sklearn.metrics import roc_curve

    y, score = np.asarray(y), np.asarray(score, float)
    panel, fold = (
        np.zeros(len(y), int) if one is None else pd.factorize(np.asarray(one))[0]
        for one in (panel, fold)
    )
    known = ~np.isnan(score)
    curves, weights = [], []
    for one in np.unique(panel):
        n_pairs = []
        for part in np.unique(fold[panel == one]):
            rows = (panel == one) & (fold == part) & known
            if 0 < y[rows].sum() < rows.sum():
                fpr, tpr, _ = roc_curve(y[rows], score[rows], drop_intermediate=False)
                curves.append((fpr, tpr))
                n_pairs.append(y[rows].sum() * (1 - y[rows]).sum())
        weights += [one / sum(n_pairs) for one in n_pairs]
    if not curves:
        raise ValueError(
            "a curve needs scores of real and of fake videos in one fold; no fold has "
            "both"
        )
    if len(curves) == 1:
        return curves[0]
    grid = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    # two points at each rate, before and after the step, keep the steps upright
    before, after = (
        np.average([_at_step(*curve, grid, side) for curve in curves], 0, weights)
        for side in ("left", "right")
    )
    return np.repeat(grid, 2), np.column_stack([before, after]).ravel()


def plot_roc(y, scores, panel=None, aucs=None, ax=None, fold=None):
    """Draw ROC curves.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        1 for fake.
    scores : DataFrame of shape (n_rows, n_strategies)
        P(fake).
    panel : array-like of shape (n_rows,) or None, default=None
        See `mean_curve`.
    aucs : Series or None, default=None
        Areas to say in the legend; None measures them.
    ax : Axes or None, default=None
    fold : array-like of shape (n_rows,) or None, default=None
        See `mean_curve`.

    Returns
    -------
    Axes

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.1, 0.6, 0.4, 0.9]})
    >>> ax = plot_roc([0, 0, 1, 1], scores)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['a, AUC 0.750', 'chance']
    """
    from sklearn.metrics import RocCurveDisplay, auc

    ax = _axes(ax)
    for place, name in enumerate(scores):
        fpr, tpr = mean_curve(y, scores[name], panel, fold)
        area = auc(fpr, tpr) if aucs is None else aucs[name]
        RocCurveDisplay(fpr=fpr, tpr=tpr).plot(
            ax=ax,
            name=in_plot(name),
            curve_kwargs={
                "label": f"{in_plot(name)}, AUC {area:.3f}",
                "linestyle": _LINES[place % len(_LINES)],
            },
        )
    ax.plot([0, 1], [0, 1], ":", lw=1, color=_ink("grid.color"), label="chance")
    ax.set(xlabel="False alarms, share of reals", ylabel="Found, share of fakes")
    return _with_legend(ax)


def plot_det(y, scores, panel=None, ax=None, fold=None):
    """Draw detection error trade-offs: misses against false alarms, on normal scales.

    Parameters
    ----------
    y, scores, panel, ax, fold
        As for `plot_roc`.

    Returns
    -------
    Axes

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.1, 0.6, 0.4, 0.9]})
    >>> plot_det([0, 0, 1, 1], scores).get_ylabel()
    'Missed, share of fakes'
    """
    from scipy.stats import norm
    from sklearn.metrics import DetCurveDisplay

    ax = _axes(ax)
    y = np.asarray(y)
    panels = np.zeros(len(y)) if panel is None else np.asarray(panel)
    own = [y[panels == one] for one in pd.unique(panels)]  # none counts a video twice
    n_rarest = max(2, *(min(one.sum(), (1 - one).sum()) for one in own))
    for place, name in enumerate(scores):
        fpr, tpr = mean_curve(y, scores[name], panel, fold)
        inside = (fpr > 0) & (fpr < 1) & (tpr > 0) & (tpr < 1)
        DetCurveDisplay(fpr=fpr[inside], fnr=1 - tpr[inside]).plot(
            ax=ax, name=in_plot(name), linestyle=_LINES[place % len(_LINES)]
        )
    low = norm.ppf(min(0.02, 0.5 / n_rarest))
    ends = (low, norm.ppf(0.8))
    ax.plot(ends, ends, ":", lw=1, color=_ink("grid.color"), label="equal errors")
    ticks = [t for t in (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
             if norm.ppf(t) >= low]  # fmt: skip
    names = [f"{100 * t:g} %" for t in ticks]
    ax.set_xticks(norm.ppf(ticks), names, rotation=45)
    ax.set_yticks(norm.ppf(ticks), names)
    ax.set(
        xlim=ends,
        ylim=ends,
        aspect="equal",
        xlabel="False alarms, share of reals",
        ylabel="Missed, share of fakes",
    )
    ax.grid(True)
    return _with_legend(ax, below=5.5)


def plot_score_distribution(y, score, threshold=0.5, n_bins=24, ax=None, video=None):
    """Draw how P(fake) is spread over reals and over fakes, on a log-odds scale.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        1 for fake.
    score : array-like of shape (n_rows,)
        P(fake); rows with NaN are left out, scores below .001 or above .999 are in the
        outermost bins.
    threshold : float or None, default=0.5
        Where a line is drawn.
    n_bins : int, default=24
    ax : Axes or None, default=None
    video : array-like of shape (n_rows,) or None, default=None
        Which video each row is of, where some were judged several times: each counts
        once, shared out over its rows. None is one row a video.

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = plot_score_distribution([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['2 real', '2 fake']
    >>> ax = plot_score_distribution(
    ...     [0, 0, 0, 1], [0.1, 0.2, 0.2, 0.8], video=["a", "a", "b", "c"]
    ... )
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['2 real', '1 fake']
    """
    from scipy.special import expit, logit

    ax = _axes(ax)
    y, score = np.asarray(y), np.asarray(score, float)
    known = ~np.isnan(score)
    y, score = y[known], score[known]
    video = None if video is None else np.asarray(video)[known]
    number, share_of = rows_of_videos(video, len(y))
    edges = np.linspace(logit(_EDGE), logit(1 - _EDGE), n_bins + 1)
    for label, called, hatch in ((0, "real", ""), (1, "fake", "////")):
        own = y == label
        n_videos = len(np.unique(number[own]))
        odds = logit(np.clip(score[own], _EDGE, 1 - _EDGE))
        share = np.histogram(odds, edges, weights=share_of[own])[0] / max(1, n_videos)
        colour = f"C{label}"
        ax.stairs(share, expit(edges), fill=True, color=colour, alpha=0.25, lw=0)
        ax.stairs(share, expit(edges), color=colour, lw=1.4, hatch=hatch or None,
                  linestyle=_LINES[label], label=f"{n_videos} {called}")  # fmt: skip
    ax.set_xscale("logit")
    ticks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
    ax.set_xticks(ticks, ["≤.001", ".01", ".1", ".5", ".9", ".99", "≥.999"])
    ax.set_xticks([], minor=True)
    ax.set_xlim(expit(edges[0]), expit(edges[-1]))
    if threshold is not None:
        ax.axvline(threshold, lw=1, color=_ink("text.color"), linestyle=":")
    ax.set(xlabel="P(fake)", ylabel="Share of each class")
    return _with_legend(ax, columns=2)


def plot_reliability(y, scores, n_bins=10, ax=None, video=None):
    """Draw what share is fake against the P(fake) that was said.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        1 for fake.
    scores : DataFrame of shape (n_rows, n_strategies)
        P(fake); NaN is left out.
    n_bins : int, default=10
        Bins of equal width; those of fewer than 5 videos are not drawn.
    ax : Axes or None, default=None
    video : array-like of shape (n_rows,) or None, default=None
        Which video each row is of, where some were judged several times; None is one
        row a video.

    Returns
    -------
    Axes

    Examples
    --------
    >>> scores = pd.DataFrame({"a": np.tile([0.1, 0.9], 10)})
    >>> plot_reliability(np.tile([0, 1], 10), scores).get_ylabel()
    'Share that is fake'
    """
    from sklearn.calibration import CalibrationDisplay

    ax = _axes(ax)
    y = np.asarray(y)
    of_video, _ = rows_of_videos(video, len(y))
    for place, name in enumerate(scores):
        score = scores[name].to_numpy(float)
        known = ~np.isnan(score)
        label, said = y[known], score[known]
        at = np.minimum((said * n_bins).astype(int), n_bins - 1)
        number = np.bincount(at, minlength=n_bins)
        different = np.unique(np.column_stack([at, of_video[known]]), axis=0)[:, 0]
        shown = np.bincount(different, minlength=n_bins) >= _FEWEST
        true = np.bincount(at, label, n_bins)[shown] / number[shown]
        mean = np.bincount(at, said, n_bins)[shown] / number[shown]
        CalibrationDisplay(true, mean, said).plot(
            ax=ax,
            name=in_plot(name),
            ref_line=False,
            marker="os^Dv"[place % 5],
            markersize=4,
            linestyle=_LINES[place % len(_LINES)],
        )
    ax.plot([0, 1], [0, 1], ":", lw=1, color=_ink("grid.color"), label="as it says")
    ax.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
        xlabel="P(fake), mean of the bin",
        ylabel="Share that is fake",
    )
    return _with_legend(ax)


def plot_correlation(scores, y=None, ax=None):
    """Draw how much members go together, as a matrix.

    Parameters
    ----------
    scores : DataFrame of shape (n_videos, n_members)
        P(fake).
    y : array-like of shape (n_videos,) or None, default=None
        1 for fake; with it errors, label less score, are correlated, else scores.
        Good members' scores go together by being right, their errors need not.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> scores = pd.DataFrame({"a": [0.1, 0.9, 0.4], "b": [0.2, 0.8, 0.4]})
    >>> ax = plot_correlation(scores)
    >>> [text.get_text() for text in ax.texts]
    ['1.00', '1.00', '1.00', '1.00']
    """
    ax = _axes(ax)
    what = "scores"
    if y is not None:
        scores = scores.rsub(np.asarray(y), axis=0)
        what = "errors"
    matrix = scores.corr().to_numpy()
    names = list(scores)
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    for row, column in np.ndindex(*matrix.shape):
        value = matrix[row, column]
        if np.isnan(value):
            continue
        # strength is opacity, so that ink on it reads on any ground
        ax.add_patch(
            _rectangle(column, row, "C0" if value >= 0 else "C1", 0.55 * abs(value))
        )
        if len(names) <= 12:
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", size=8)
    ticks = list(map(in_plot, names))
    ax.set_xticks(range(len(names)), ticks, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), ticks)
    ax.tick_params(length=0)
    ax.set_aspect("equal")
    ax.set_xlabel(f"Correlation of {what}")
    return ax


def plot_weights(weights, ax=None):
    """Draw the weight of each member in several strategies.

    Parameters
    ----------
    weights : DataFrame of shape (n_members, n_strategies), Series or array
        One strategy's weights may also be a Series, or an array such as the `weights_`
        of a combiner, whose members are then numbered.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> weights = pd.DataFrame({"stacking": [0.7, 0.3]}, index=["a", "b"])
    >>> len(plot_weights(weights).patches)
    2
    """
    weights = _weights_table(weights)
    ax = _axes(ax)
    n = weights.shape[1]
    height = 0.8 / n
    for place, name in enumerate(weights):
        at = np.arange(len(weights)) + (place - (n - 1) / 2) * height
        ax.barh(at, weights[name], 0.88 * height, color=f"C{place}",
                label=in_plot(name), alpha=0.75,
                hatch=("", "///", "...", "xx")[place % 4])  # fmt: skip
    ax.set_yticks(range(len(weights)), list(map(in_plot, weights.index)))
    ax.invert_yaxis()
    ax.axvline(0, lw=1, color=_ink("text.color"))
    ax.set_xlabel("Weight")
    return _with_legend(ax, columns=min(n, 3)) if n > 1 else ax


def _weights_table(weights):
    """Return weights as a table of members and strategies, or say what is wrong."""
    if isinstance(weights, pd.DataFrame):
        return weights
    if isinstance(weights, pd.Series):
        return weights.to_frame("weights")
    values = np.asarray(weights, dtype=float)
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(
            "weights must have shape (n_members,) or (n_members, n_strategies); got "
            f"{values.shape}"
        )
    return pd.DataFrame(values.reshape(len(values), -1)).rename(
        index=lambda member: f"member {member}"
    )


def plot_contributions(ablation, ax=None):
    """Draw what each member adds: its Shapley share, and what is lost without it.

    Parameters
    ----------
    ablation : DataFrame
        From `ensemble.comparison.ablation.member_contributions`.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> from ensemble.comparison.ablation import member_contributions
    >>> scores = pd.DataFrame({"a": [0.1, 0.2, 0.8, 0.9], "b": [0.4, 0.6, 0.5, 0.7]})
    >>> plot_contributions(member_contributions(scores, [0, 0, 1, 1])).get_xlabel()
    'AUC that the member adds to all others'
    """
    ax = _axes(ax)
    low = (ablation["adds"] - ablation["adds_low"]).to_numpy()
    high = (ablation["adds_high"] - ablation["adds"]).to_numpy()
    at = np.arange(len(ablation))
    ax.errorbar(ablation["adds"], at, xerr=np.nan_to_num(np.stack([low, high])),
                fmt="o", ms=5, capsize=3, lw=1.5)  # fmt: skip
    ticks = [f"{in_plot(n)}\nShapley {v:.3f}" for n, v in ablation["shapley"].items()]
    ax.set_yticks(at, ticks)
    ax.set_ylim(len(at) - 0.5, -0.5)
    ax.axvline(0, lw=1, color=_ink("text.color"))
    ax.set_xlabel("AUC that the member adds to all others")
    return ax


def plot_strategies(table, metric="auc", reference="mean", ax=None):
    """Draw members and strategies with their intervals, best first.

    Parameters
    ----------
    table : DataFrame
        ``Comparison.table``.
    metric : str, default="auc"
        A column that has ``*_low`` and ``*_high``.
    reference : str or None, default="mean"
        Row at which a line is drawn.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"kind": ["member", "strategy"], "auc": [0.8, 0.9], "auc_low": [0.7, 0.8],
    ...      "auc_high": [0.9, 1.0]}, index=["a", "mean"],
    ... )
    >>> [tick.get_text() for tick in plot_strategies(table).get_yticklabels()]
    ['a', 'mean']
    """
    ax = _axes(ax)
    at = np.arange(len(table))
    kinds = ("strategy", "strategies", "o"), ("member", "members", "s")
    for place, (kind, called, marker) in enumerate(kinds):
        here = (table["kind"] == kind).to_numpy()
        rows = table[here]
        if len(rows):
            error = [rows[metric] - rows[f"{metric}_low"],
                     rows[f"{metric}_high"] - rows[metric]]  # fmt: skip
            error = np.clip(np.nan_to_num(error), 0, None)
            ax.errorbar(rows[metric], at[here], xerr=error, fmt=marker, ms=4.5,
                        color=f"C{place}", capsize=2, lw=1.3, label=called)  # fmt: skip
    if reference in table.index:
        label = f"the {in_plot(reference)}"
        ax.axvline(table.loc[reference, metric], lw=1, linestyle=":",
                   color=_ink("text.color"), label=label)  # fmt: skip
    ax.set_yticks(at, list(map(in_plot, table.index)))
    ax.set_ylim(len(at) - 0.5, -0.5)
    ax.grid(True, axis="x")
    ax.set_xlabel(metric.upper() if metric == "auc" else metric.replace("_", " "))
    return _with_legend(ax, columns=3)


def plot_by_value(by_value, axis, strategies, ax=None):
    """Draw the AUC by method, compression or source, with intervals.

    Parameters
    ----------
    by_value : DataFrame
        ``Comparison.by_value``.
    axis : str
        "held out" or a column of the metadata.
    strategies : sequence of str
        Which to draw.
    ax : Axes or None, default=None

    Returns
    -------
    Axes

    Examples
    --------
    >>> by_value = pd.DataFrame(
    ...     {"axis": "method", "value": ["swap", "morph"], "strategy": "mean",
    ...      "auc": [0.9, 0.8], "auc_low": [0.8, 0.6], "auc_high": [1.0, 0.9]}
    ... )
    >>> ax = plot_by_value(by_value, "method", ["mean"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['swap', 'morph']
    """
    ax = _axes(ax)
    lines = by_value[by_value["axis"] == axis]
    values = list(lines["value"].drop_duplicates())
    n = len(strategies)
    for place, name in enumerate(strategies):
        own = lines[lines["strategy"] == name].set_index("value").reindex(values)
        at = np.arange(len(values)) + (place - (n - 1) / 2) * 0.7 / n
        error = np.stack([own["auc"] - own["auc_low"], own["auc_high"] - own["auc"]])
        ax.errorbar(own["auc"], at, xerr=np.clip(np.nan_to_num(error), 0, None),
                    fmt="os^Dv"[place % 5], ms=4.5, capsize=2, lw=1.3,
                    label=in_plot(name))  # fmt: skip
    ax.set_yticks(range(len(values)), list(map(in_plot, values)))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(True, axis="x")
    ax.set_xlabel("AUC")
    return _with_legend(ax)


def plot_stress(table, path=None):
    """Draw what becomes of scores as videos are changed more and more.

    Parameters
    ----------
    table : DataFrame
        ``StressResult.table``.
    path : str, Path or None, default=None
        Where to save it: .png, .svg or .pdf.

    Returns
    -------
    matplotlib Figure
        One panel a change: AUC where it was measured, else the mean size of the drift.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"change": "jpeg", "strength": [90, 50], "scorer": "a", "size": [0.1, 0.2]}
    ... )
    >>> len(plot_stress(table).axes)
    1
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    changes = list(dict.fromkeys(table["change"]))
    columns = min(4, len(changes))
    rows = -(-len(changes) // columns)
    figure = Figure((3.1 * columns, 2.7 * rows + 0.6), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharey=True, squeeze=False))
    measure = "auc" if "auc" in table else "size"
    for ax in panels[len(changes) :]:
        ax.set_visible(False)
    for ax, change in zip(panels, changes, strict=False):
        here = table[table["change"] == change]
        strengths = list(dict.fromkeys(here["strength"]))
        at = np.arange(len(strengths)) + (measure == "auc")
        for place, (scorer, own) in enumerate(here.groupby("scorer", sort=False)):
            values = own.set_index("strength")[measure].reindex(strengths).to_numpy()
            where = at
            if measure == "auc":
                before = own["auc_before"].dropna()
                values = np.r_[before.iloc[0] if len(before) else np.nan, values]
                where = np.r_[0, at]
            ensemble = scorer == "ensemble"
            ax.plot(where, values, marker="os^DvPX"[place % 7], ms=4,
                    lw=2.4 if ensemble else 1.2, label=in_plot(scorer),
                    color=_ink("text.color") if ensemble else f"C{place}")  # fmt: skip
        named = [f"{strength:g}" for strength in strengths]
        if measure == "auc":
            named, at = ["as is", *named], np.r_[0, at]
        ax.set_xticks(at, named)
        ax.set_title(in_plot(change), size=10)
        ax.grid(True, axis="y", lw=0.5)
    label = {"auc": "AUC", "size": "Mean size of the drift of P(fake)"}[measure]
    figure.supylabel(label, size=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    if path is not None:
        save_figure(figure, path)
    return figure


def save_figure(figure, path):
    """Write a figure, with this library's name in the file's metadata.

    By that name a command knows its own plots, which it may replace, from those of
    others.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or Path
        .png, .svg, .pdf or .jpg.
    """
    named = {"metadata": {"Creator": PLOT_MARK}}
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        named = {"metadata": {"Software": PLOT_MARK}}
    elif suffix in (".jpg", ".jpeg"):
        named = {"pil_kwargs": {"comment": PLOT_MARK.encode()}}
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=150, **named)


def rows_of_videos(video, n_rows):
    """Number the videos of rows, and share each out over its rows.

    Parameters
    ----------
    video : array-like of shape (n_rows,) or None
        None is one row a video.
    n_rows : int

    Returns
    -------
    number : int ndarray of shape (n_rows,)
    share : ndarray of shape (n_rows,)
        1 over the number of rows of the same video.

    Examples
    --------
    >>> rows_of_videos(["a", "b", "a"], 3)[1].tolist()
    [0.5, 1.0, 0.5]
    """
    number = np.arange(n_rows) if video is None else pd.factorize(np.asarray(video))[0]
    return number, 1 / np.bincount(number)[number]


def _at_step(fpr, tpr, grid, side):
    """TPR at each rate: before the curve climbs there ("left"), or after it."""
    right = np.searchsorted(fpr, grid, "right") - 1
    if side == "right":
        exact = tpr[right]
    else:
        exact = tpr[np.minimum(np.searchsorted(fpr, grid, "left"), len(fpr) - 1)]
    return np.where(fpr[right] == grid, exact, np.interp(grid, fpr, tpr))


def _axes(ax):
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    return plt.subplots(layout="constrained")[1]


def _ink(what):
    import matplotlib as mpl

    return mpl.rcParams[what]


def _rectangle(x, y, colour, alpha):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, color=colour, alpha=alpha, lw=0)


def _with_legend(ax, columns=1, below=4.2):
    """Lay the legend below the axes, by so many letters, where it covers no curve."""
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0),
              borderaxespad=below, ncols=columns, frameon=False)  # fmt: skip
    return ax
