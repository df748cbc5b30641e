"""Curves of P(fake) against labels: ROC, DET, spread over classes, reliability."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ensemble.reporting.plain_text import in_plot
from ensemble.reporting.plots.style import LINES, axes_or_new, ink, with_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST = 5  # videos behind a point of a reliability diagram
_EDGE = 1e-3  # beyond it, and beyond 1 less it, scores share the outermost bin


def mean_curve(
    y: ArrayLike,
    score: ArrayLike,
    panel: ArrayLike | None = None,
    fold: ArrayLike | None = None,
) -> tuple[NDArray, NDArray]:
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
        np.zeros(len(y), int) if codes is None else pd.factorize(np.asarray(codes))[0]
        for codes in (panel, fold)
    )
    has_score = ~np.isnan(score)
    curves, weights = [], []
    for panel_code in np.unique(panel):
        n_pairs = []
        for fold_code in np.unique(fold[panel == panel_code]):
            rows = (panel == panel_code) & (fold == fold_code) & has_score
            if 0 < y[rows].sum() < rows.sum():
                fpr, tpr, _ = roc_curve(y[rows], score[rows], drop_intermediate=False)
                curves.append((fpr, tpr))
                n_pairs.append(y[rows].sum() * (1 - y[rows]).sum())
        weights += [number / sum(n_pairs) for number in n_pairs]
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


def plot_roc(
    y: ArrayLike,
    scores: pd.DataFrame,
    panel: ArrayLike | None = None,
    aucs: pd.Series | None = None,
    ax: "Axes | None" = None,
    fold: ArrayLike | None = None,
) -> "Axes":
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

    ax = axes_or_new(ax)
    for place, name in enumerate(scores):
        fpr, tpr = mean_curve(y, scores[name], panel, fold)
        area = auc(fpr, tpr) if aucs is None else aucs[name]
        RocCurveDisplay(fpr=fpr, tpr=tpr).plot(
            ax=ax,
            name=in_plot(name),
            curve_kwargs={
                "label": f"{in_plot(name)}, AUC {area:.3f}",
                "linestyle": LINES[place % len(LINES)],
            },
        )
    ax.plot([0, 1], [0, 1], ":", lw=1, color=ink("grid.color"), label="chance")
    ax.set(xlabel="False alarms, share of reals", ylabel="Found, share of fakes")
    return with_legend(ax)


def plot_det(
    y: ArrayLike,
    scores: pd.DataFrame,
    panel: ArrayLike | None = None,
    ax: "Axes | None" = None,
    fold: ArrayLike | None = None,
) -> "Axes":
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

    ax = axes_or_new(ax)
    y = np.asarray(y)
    panels = np.zeros(len(y)) if panel is None else np.asarray(panel)
    labels = [y[panels == code] for code in pd.unique(panels)]  # each video once
    n_rarest = max(2, *(min(some.sum(), (1 - some).sum()) for some in labels))
    for place, name in enumerate(scores):
        fpr, tpr = mean_curve(y, scores[name], panel, fold)
        inside = (fpr > 0) & (fpr < 1) & (tpr > 0) & (tpr < 1)
        DetCurveDisplay(fpr=fpr[inside], fnr=1 - tpr[inside]).plot(
            ax=ax, name=in_plot(name), linestyle=LINES[place % len(LINES)]
        )
    low = norm.ppf(min(0.02, 0.5 / n_rarest))
    ends = (low, norm.ppf(0.8))
    ax.plot(ends, ends, ":", lw=1, color=ink("grid.color"), label="equal errors")
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
    return with_legend(ax, below=5.5)


def plot_score_distribution(
    y: ArrayLike,
    score: ArrayLike,
    threshold: float | None = 0.5,
    n_bins: int = 24,
    ax: "Axes | None" = None,
    video: ArrayLike | None = None,
) -> "Axes":
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

    ax = axes_or_new(ax)
    y, score = np.asarray(y), np.asarray(score, float)
    has_score = ~np.isnan(score)
    y, score = y[has_score], score[has_score]
    video = None if video is None else np.asarray(video)[has_score]
    number, share_of = rows_of_videos(video, len(y))
    edges = np.linspace(logit(_EDGE), logit(1 - _EDGE), n_bins + 1)
    for label, label_name, hatch in ((0, "real", ""), (1, "fake", "////")):
        of_label = y == label
        n_videos = len(np.unique(number[of_label]))
        odds = logit(np.clip(score[of_label], _EDGE, 1 - _EDGE))
        count = np.histogram(odds, edges, weights=share_of[of_label])[0]
        share = count / max(1, n_videos)
        colour = f"C{label}"
        ax.stairs(share, expit(edges), fill=True, color=colour, alpha=0.25, lw=0)
        ax.stairs(share, expit(edges), color=colour, lw=1.4, hatch=hatch or None,
                  linestyle=LINES[label], label=f"{n_videos} {label_name}")  # fmt: skip
    ax.set_xscale("logit")
    ticks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
    ax.set_xticks(ticks, ["≤.001", ".01", ".1", ".5", ".9", ".99", "≥.999"])
    ax.set_xticks([], minor=True)
    ax.set_xlim(expit(edges[0]), expit(edges[-1]))
    if threshold is not None:
        ax.axvline(threshold, lw=1, color=ink("text.color"), linestyle=":")
    ax.set(xlabel="P(fake)", ylabel="Share of each class")
    return with_legend(ax, columns=2)


def plot_reliability(
    y: ArrayLike,
    scores: pd.DataFrame,
    n_bins: int = 10,
    ax: "Axes | None" = None,
    video: ArrayLike | None = None,
) -> "Axes":
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

    ax = axes_or_new(ax)
    y = np.asarray(y)
    of_video, _ = rows_of_videos(video, len(y))
    for place, name in enumerate(scores):
        score = scores[name].to_numpy(float)
        has_score = ~np.isnan(score)
        label, p_fake = y[has_score], score[has_score]
        bins = np.minimum((p_fake * n_bins).astype(int), n_bins - 1)
        n_rows = np.bincount(bins, minlength=n_bins)
        videos = np.unique(np.column_stack([bins, of_video[has_score]]), axis=0)
        shown = np.bincount(videos[:, 0], minlength=n_bins) >= _FEWEST
        true = np.bincount(bins, label, n_bins)[shown] / n_rows[shown]
        mean = np.bincount(bins, p_fake, n_bins)[shown] / n_rows[shown]
        CalibrationDisplay(true, mean, p_fake).plot(
            ax=ax,
            name=in_plot(name),
            ref_line=False,
            marker="os^Dv"[place % 5],
            markersize=4,
            linestyle=LINES[place % len(LINES)],
        )
    ax.plot([0, 1], [0, 1], ":", lw=1, color=ink("grid.color"), label="as it says")
    ax.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
        xlabel="P(fake), mean of the bin",
        ylabel="Share that is fake",
    )
    return with_legend(ax)


def rows_of_videos(video: ArrayLike | None, n_rows: int) -> tuple[NDArray, NDArray]:
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
