"""Turns judged scores into figures: metrics, intervals, paired differences, tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.utils import check_random_state

from base_models.runtime.clusters.sending import Shared
from base_models.runtime.scheduling import run_each
from base_models.runtime.thread_pools import one_blas_thread
from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN
from ensemble.comparison.evaluation import Panel
from ensemble.metrics.bootstrap import (
    METRICS,
    drawn_metrics,
    group_draws,
    metrics_on_draws,
)
from ensemble.metrics.bootstrap_intervals import basic_ends
from ensemble.metrics.significance import above_chance
from ensemble.metrics.within_folds import mean_auc_difference

_PAYS = 5_000_000  # draws x videos of a column, a second's work, from which it is sent
_MOST_VALUES = 40  # of a column of the metadata that is looked at value by value


@dataclass
class Measured:
    """The figures of a comparison; see `ensemble.comparison.Comparison`."""

    table: pd.DataFrame
    by_value: pd.DataFrame
    best_member: str
    coverage: float
    ranked: float  # share of the common videos with one of the other class in the fold
    chosen_anew: dict

    def by_group_of(self) -> dict[str, pd.DataFrame]:
        """Return for each axis the AUC, one row a strategy and one column a value."""
        tables = {}
        if len(self.by_value):
            for axis, lines in self.by_value.groupby("axis", sort=False):
                wide = lines.pivot(index="strategy", columns="value", values="auc")
                tables[axis] = wide.loc[self.table.index, lines["value"].unique()]
        return tables


def measure(
    panels: list[Panel],
    names: list[str],
    codes: np.ndarray,
    metadata: pd.DataFrame,
    n_boot: int,
    level: float,
    random_state: int,
    n_jobs: int | None = 1,
) -> Measured:
    """Measure everyone on the videos that all have scored.

    A figure is the mean over the panels: repeats, and what was held out in turn. Rank
    metrics compare a fake with the reals of its own fold alone, since strategies, and
    members where they are detectors, were fitted again for each fold
    (`ensemble.metrics.within_folds`); members of a table are measured alike, though one
    fit may have scored all of it. What needs a threshold or a probability takes a
    panel's folds together. Intervals are percentiles over bootstrap draws of whole
    groups, the same draws for all, so that differences are paired; those of the
    calibration error, which draws inflate, are of the basic bootstrap. They say how
    figures would vary with other videos to test on, not with others to learn from.

    Parameters
    ----------
    panels : list of Panel
    names : list of str
        The members; all other columns are strategies.
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups.
    metadata : DataFrame with n_videos rows
    n_boot : int
    level : float
    random_state : int
    n_jobs : int or None, default=1
        Columns that are measured at once, where that takes long.

    Returns
    -------
    Measured
    """
    common = [panel.common() for panel in panels]
    _check_common(common, panels)
    columns = list(panels[0].scores.columns)
    n_groups = int(codes.max()) + 1
    times = group_draws(n_groups, n_boot, check_random_state(random_state))
    figures, draws = _over_panels(common, columns, codes, times, n_jobs=n_jobs)
    table = pd.DataFrame(figures, index=pd.Index(columns, name="strategy"))
    kinds = ["member" if name in names else "strategy" for name in columns]
    table.insert(0, "kind", kinds)
    for key in METRICS:
        table[[f"{key}_low", f"{key}_high"]] = _ends(key, figures, draws, level).T
    table["above_chance"] = above_chance(figures["auc"], draws["auc"], kinds, level)
    best = table.loc[names, "auc"].idxmax()
    rivals = {"best_member": best, "mean": MEAN, "chosen_member": CHOSEN_MEMBER}
    for rival, name in rivals.items():
        if name not in columns:
            continue
        ahead = draws["auc"] - draws["auc"][:, [columns.index(name)]]
        p = [_p_value(common, codes, one, name) for one in columns]
        tested = (table["kind"] == "strategy") & (table.index != name)
        table[f"over_{rival}"] = table["auc"] - table.loc[name, "auc"]
        table[f"over_{rival}_low"], table[f"over_{rival}_high"] = interval_ends(
            ahead, level
        )
        table[f"p_{rival}_alone"] = np.where(tested, p, np.nan)
        table[f"p_{rival}"] = holm(table[f"p_{rival}_alone"].to_numpy())
    lower = draws["log_loss"] - draws["log_loss"][:, [columns.index(MEAN)]]
    table["log_loss_over_mean"] = table["log_loss"] - table.loc[MEAN, "log_loss"]
    table["log_loss_over_mean_low"], table["log_loss_over_mean_high"] = interval_ends(
        lower, level
    )
    share = _share_of_video(panels)
    table["coverage"] = _share_scored(panels, share)
    by_value = _by_value(common, columns, codes, metadata, times, level)
    if len(by_value):
        axis = by_value["axis"].iloc[0]
        of_first = by_value[by_value["axis"] == axis].dropna(subset="auc")
        worst = of_first.loc[of_first.groupby("strategy")["auc"].idxmin()]
        worst = worst.set_index("strategy").reindex(table.index)
        table.insert(3, "worst", worst["auc"])
        table.insert(4, "worst_at", worst["value"])
    return Measured(
        table.sort_values(["auc", "log_loss"], ascending=[False, True]),
        by_value,
        best,
        _coverage(panels, share),
        float(np.concatenate([ranked(panel) for panel in common]).mean()),
        _chosen_anew(common, columns, kinds, codes, times, draws["auc"], level),
    )


def paired_change(
    panels: list[Panel],
    others: list[Panel],
    codes: np.ndarray,
    n_boot: int,
    level: float,
    random_state: int,
) -> pd.DataFrame:
    """Set the AUCs of strategies against those of the same strategies fitted otherwise.

    Parameters
    ----------
    panels, others : list of Panel
        Of the same videos in the same folds.
    codes : int ndarray of shape (n_videos,)
    n_boot : int
    level : float
    random_state : int

    Returns
    -------
    DataFrame
        One row a strategy: "auc", that of `panels` less that of `others`, "low" and
        "high".
    """
    columns = [name for name in panels[0].scores if name in others[0].scores]
    times = group_draws(codes.max() + 1, n_boot, check_random_state(random_state))
    (ours, drawn), (theirs, theirs_drawn) = (
        _over_panels([p.common() for p in some], columns, codes, times, ["auc"])
        for some in (panels, others)
    )
    low, high = interval_ends(drawn["auc"] - theirs_drawn["auc"], level)
    return pd.DataFrame(
        {"auc": ours["auc"] - theirs["auc"], "low": low, "high": high}, index=columns
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for how many there are.

    Parameters
    ----------
    p : ndarray of shape (n,)
        NaN for what was not tested.

    Returns
    -------
    corrected : ndarray of shape (n,)

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm(np.array([0.04, np.nan, 0.01, 0.03])).round(2).tolist()
    [0.06, nan, 0.03, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p[i]))
        corrected[i] = largest
    return corrected


def _check_common(common, panels):
    for panel, whole in zip(common, panels, strict=True):
        of = f" of {panel.name}" if panel.name else ""
        if not 0 < panel.y.sum() < len(panel.y):
            shares = whole.scores.notna().mean()
            raise ValueError(
                f"no {'real' if panel.y.all() and len(panel.y) else 'fake'} video{of} "
                f"has a score from everyone; the fewest have {shares.idxmin()!r}, "
                f"{shares.min():.0%}: leave it out"
            )
        if not ranked(panel).any():
            raise ValueError(
                f"none of the {len(np.unique(panel.fold))} folds has both a real and a "
                f"fake video{of} that everyone has scored, and only those of one fold "
                "can be compared; use fewer folds, or groups of both classes"
            )


def ranked(panel: Panel) -> np.ndarray:
    """Say which videos of a panel have one of the other class in their fold.

    Returns
    -------
    ranked : bool ndarray of shape (n_judged,)

    Examples
    --------
    >>> from ensemble.comparison.evaluation import Panel
    >>> y, fold = np.array([0, 1, 1]), np.array([0, 0, 1])
    >>> ranked(Panel("", 0, np.arange(3), y, pd.DataFrame(), fold)).tolist()
    [True, True, False]
    """
    fold = np.unique(panel.fold, return_inverse=True)[1]
    fakes = np.bincount(fold, panel.y)
    reals = np.bincount(fold) - fakes
    return ((fakes > 0) & (reals > 0))[fold]


def _share_scored(panels, share):
    """Return the share of the judged videos that each column has scored."""
    scored = (
        one @ panel.scores.notna() for one, panel in zip(share, panels, strict=True)
    )
    return sum(scored) / sum(map(np.sum, share))


def _over_panels(common, columns, codes, times, wanted=METRICS, n_jobs=1):
    """Return each metric of each column, as it is and on each draw."""
    tasks = [
        (panel.y, panel.scores[name].to_numpy(), panel.fold, codes[panel.rows])
        for panel in common
        for name in columns
    ]
    longest = max((len(panel.rows) for panel in common), default=0)
    if longest * len(times) < _PAYS:
        n_jobs = 1
    shared = (Shared(times), tuple(wanted))
    came = dict(run_each(_of_column, tasks, n_jobs=n_jobs, shared=shared))
    figures = {key: np.zeros(len(columns)) for key in wanted}
    draws = {key: [] for key in wanted}
    for number in range(len(common)):
        found = [came[number * len(columns) + place] for place in range(len(columns))]
        for key in wanted:
            for column, (as_it_is, _) in enumerate(found):
                figures[key][column] += as_it_is[key][0] / len(common)
            draws[key].append(np.column_stack([drawn[key] for _, drawn in found]))
    return figures, {key: _mean_told(parts) for key, parts in draws.items()}


def _of_column(y, score, fold, codes, times, wanted):
    """Measure the scores of a column on all videos, and on each draw."""
    with one_blas_thread:  # the last digits are those of the number of threads
        as_it_is = drawn_metrics(y, score, np.ones((1, len(y))), wanted, fold)
        return as_it_is, metrics_on_draws(y, score, fold, codes, times, wanted)


def _share_of_video(panels):
    """Share out each video over the panels that judge it: it counts once."""
    times = np.bincount(np.concatenate([panel.rows for panel in panels]))
    return [1 / times[panel.rows] for panel in panels]


def _coverage(panels, share):
    """Share of the judged videos that everyone has scored."""
    whole = [panel.scores.notna().all(axis=1).to_numpy() for panel in panels]
    return float(np.concatenate(share)[np.concatenate(whole)].sum()
                 / sum(map(np.sum, share)))  # fmt: skip


def _mean_told(parts):
    """Average over panels those that can be told; NaN where none can."""
    total, told = 0.0, 0
    for part in parts:
        known = ~np.isnan(part)
        total = total + np.where(known, part, 0)
        told = told + known
    return np.divide(total, told, out=np.full(total.shape, np.nan), where=told > 0)


def interval_ends(draws, level):
    """Return both ends of the interval; NaN where most draws cannot be told."""
    tail = (1 - level) / 2
    told = ~np.isnan(draws)
    ends = np.full((2, draws.shape[1]), np.nan)
    for column in np.flatnonzero(told.sum(axis=0) > len(draws) / 2):
        values = draws[told[:, column], column]
        ends[:, column] = np.quantile(values, [tail, 1 - tail])
    return ends


def _ends(metric, figures, draws, level):
    """Return the ends of a metric's intervals; draws inflate the calibration error."""
    ends = interval_ends(draws[metric], level)
    if metric == "expected_calibration_error":
        return basic_ends(figures[metric], *ends)
    return ends


def _p_value(common, codes, first, second):
    """DeLong's test of two columns, by group, over all panels together."""
    difference, error = mean_auc_difference(
        [
            (panel.y, *panel.scores[[first, second]].to_numpy().T, panel.fold,
             codes[panel.rows])
            for panel in common
        ]
    )  # fmt: skip
    if error == 0:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / error))


def _chosen_anew(common, columns, kinds, codes, times, aucs, level):
    """AUC of choosing the strategy with the highest one, judged where it was not.

    On each draw the best strategy is chosen on the groups drawn and judged on those
    left out (Tsamardinos et al., 2018, Machine Learning 107: bootstrap bias corrected
    cross-validation).
    """
    plain = (CHOSEN_MEMBER, MEAN)
    ours = [
        place
        for place, (name, kind) in enumerate(zip(columns, kinds, strict=True))
        if kind == "strategy" and name not in plain
    ]
    if len(ours) < 2:
        return {}
    left_out = []
    for panel in common:
        weights = (times == 0).astype(float)[:, codes[panel.rows]]
        left_out.append(
            np.column_stack(
                [
                    drawn_metrics(
                        panel.y,
                        panel.scores[columns[place]].to_numpy(),
                        weights,
                        ["auc"],
                        panel.fold,
                    )["auc"]
                    for place in [*ours, columns.index(MEAN)]
                ]
            )
        )
    left_out = _mean_told(left_out)
    told = ~np.isnan(left_out).any(axis=1) & ~np.isnan(aucs[:, ours]).any(axis=1)
    if not told.any():
        return {}
    winner = np.argmax(aucs[told][:, ours], axis=1)
    reached = left_out[told, winner]
    over_mean = reached - left_out[told, -1]
    tail = (1 - level) / 2
    low, high = np.quantile(over_mean, [tail, 1 - tail])
    often = np.bincount(winner, minlength=len(ours))
    return {
        "auc": float(reached.mean()),
        "over_mean": float(over_mean.mean()),
        "over_mean_low": float(low),
        "over_mean_high": float(high),
        "most often": columns[ours[int(often.argmax())]],
        "share": float(often.max() / often.sum()),
    }


def _by_value(common, columns, codes, metadata, times, level):
    """Measure each held-out value, and each value of each column of the metadata."""
    parts = {}
    held_out = {panel.name for panel in common} - {""}
    if held_out:
        for panel in common:
            rows = np.ones(len(panel.rows), bool)
            parts.setdefault(("held out", panel.name), []).append((panel, rows))
    for column in metadata.columns:
        value = metadata[column].to_numpy()
        if held_out and held_out <= set(map(str, value)):
            continue  # it is what was held out
        fakes_of = {
            one
            for panel in common
            for one in pd.unique(value[panel.rows][panel.y == 1])
            if not pd.isna(one)
        }
        if not 2 <= len(fakes_of) <= _MOST_VALUES:
            continue
        for one in sorted(fakes_of, key=str):
            for panel in common:
                own, is_real = value[panel.rows] == one, panel.y == 0
                if not (own & ~is_real).any():
                    continue
                # reals of the same value where there are some, else all of them
                reals = (is_real & own) if (is_real & own).any() else is_real
                rows = reals | (own & ~is_real)
                parts.setdefault((column, str(one)), []).append((panel, rows))
    return pd.DataFrame(
        [
            line
            for (axis, value), some in parts.items()
            for line in _lines(axis, value, some, columns, codes, times, level)
        ]
    )


def _lines(axis, value, some, columns, codes, times, level):
    """One line a column: figures of one value, over the panels that have it."""
    figures, draws = {}, []
    for name in columns:
        found, of_name = [], []
        for panel, rows in some:
            score, y = panel.scores[name].to_numpy()[rows], panel.y[rows]
            fold = panel.fold[rows]
            found.append(drawn_metrics(y, score, np.ones((1, len(y))), METRICS, fold))
            weights = times[:, codes[panel.rows[rows]]]
            of_name.append(drawn_metrics(y, score, weights, ["auc"], fold)["auc"])
        figures[name] = {
            key: float(_mean_told([one[key] for one in found])[0]) for key in METRICS
        }
        draws.append(_mean_told(of_name))
    draws = np.column_stack(draws)
    low, high = interval_ends(draws, level)
    mean = columns.index(MEAN)
    ahead_low, ahead_high = interval_ends(draws - draws[:, [mean]], level)
    rows = np.unique(np.concatenate([panel.rows[rows] for panel, rows in some]))
    fakes = np.unique(
        np.concatenate([panel.rows[rows & (panel.y == 1)] for panel, rows in some])
    )
    for place, name in enumerate(columns):
        yield {
            "axis": axis,
            "value": value,
            "strategy": name,
            "n_videos": len(rows),
            "n_fakes": len(fakes),
            **figures[name],
            "auc_low": low[place],
            "auc_high": high[place],
            "over_mean": figures[name]["auc"] - figures[MEAN]["auc"],
            "over_mean_low": ahead_low[place],
            "over_mean_high": ahead_high[place],
        }
