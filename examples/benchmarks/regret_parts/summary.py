"""Regret of each strategy on a table and over tables, and the tables that show it."""

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

OURS = "AutoCombiner"


def summarise(measured, rivals=None, ours=OURS):
    """Set each strategy beside the best of all others on one table.

    Parameters
    ----------
    measured : dict
        What `run` returns of one table.
    rivals : collection of str or None, default=None
        Strategies that `ours` promises to come close to; None is all others.
    ours : str, default="AutoCombiner"

    Returns
    -------
    dict
        "strategies": name -> its mean "auc", "log_loss", its regret in both (below 0
        where it is above all others), "seconds", "unscored", "error". "ours": for
        "auc" and "log_loss" the "best" other and its "value", "regret", its 95 %
        "interval", "to_rivals" (regret to the best of them, "best_rival"), "elsewhere"
        (regret to the best picked on the other seeds, or the other folds of the only
        seed; None for a given split) and "above_all", the share of folds in which it
        is above all others.
    """
    results = measured["results"]
    whole = {
        name: one for name, one in results.items() if not any(r["error"] for r in one)
    }
    found = {name: _failed(one) for name, one in results.items()}
    summary = {"strategies": found, "ours": {}}
    for metric, sign in (("auc", 1), ("log_loss", -1)):
        values = {
            name: sign * np.array([result[metric] for result in one])
            for name, one in whole.items()
        }
        at = np.s_[:, :1] if measured["bootstrap"] else np.s_[:]
        mean = {name: float(one[at].mean()) for name, one in values.items()}
        for name in whole:
            best = _best_other(mean, name)
            found[name][metric] = sign * mean[name]
            found[name][f"{metric}_regret"] = mean[best] - mean[name]
        if ours in whole and len(whole) > 1:
            best = _best_other(mean, ours)
            summary["ours"][metric] = {
                "best": best,
                "value": sign * mean[best],
                "regret": mean[best] - mean[ours],
                **_to_rivals(mean, rivals, ours),
                **_spread(values, ours, best, measured),
            }
    return summary


def _failed(results):
    error = next((result["error"] for result in results if result["error"]), None)
    return {
        "error": error,
        "seconds": float(np.sum([result["seconds"] for result in results])),
        "unscored": float(np.mean([result["unscored"] for result in results])),
        **dict.fromkeys(
            ("auc", "auc_regret", "log_loss", "log_loss_regret"), float("nan")
        ),
    }


def _best_other(mean, name):
    others = {other: value for other, value in mean.items() if other != name}
    return max(others, key=others.get) if others else name


def _to_rivals(mean, rivals, ours):
    known = {
        name: value
        for name, value in mean.items()
        if name == ours or rivals is None or name in rivals
    }
    best = _best_other(known, ours)
    return {"best_rival": best, "to_rivals": mean[best] - mean[ours]}


def _spread(values, ours, best, measured):
    behind = values[best] - values[ours]  # (seeds, folds), or (1, 1 + draws)
    others = [one for name, one in values.items() if name != ours]
    above = values[ours] > np.max(others, axis=0)
    if measured["bootstrap"]:
        low, high = np.quantile(behind[:, 1:], [0.025, 0.975])
        elsewhere, above = None, above[:, 1:]
    else:
        low, high = paired_interval(behind.ravel(), measured["test_share"])
        elsewhere = _regret_to_picked(values, ours)
    return {
        "interval": [float(low), float(high)],
        "elsewhere": elsewhere,
        "above_all": float(above.mean()),
    }


def paired_interval(differences, test_share):
    """95 % of a mean of differences over repeated folds.

    Folds share training rows, which a plain standard error ignores: the variance is
    raised by the size of test over training folds (Nadeau and Bengio, 2003).

    Examples
    --------
    >>> low, high = paired_interval(np.array([0.0, 0.02]), test_share=0.25)
    >>> round(low, 3), round(high, 3)  # .01 -+ 12.7 x .0141 x sqrt(.5 + .25)
    (-0.146, 0.166)
    """
    n = len(differences)
    if n < 2:
        return float("nan"), float("nan")
    error = np.sqrt(differences.var(ddof=1) * (1 / n + test_share))
    reach = student.ppf(0.975, n - 1) * error
    return differences.mean() - reach, differences.mean() + reach


def _regret_to_picked(values, ours):
    """Regret to the strategy that is best on the other seeds, without its luck here."""
    names = [name for name in values if name != ours]
    blocks = np.array([values[name] for name in [ours, *names]])
    blocks = blocks.mean(axis=2) if blocks.shape[1] > 1 else blocks[:, 0]
    if blocks.shape[1] < 2:
        return None
    behind = []
    for block in range(blocks.shape[1]):
        elsewhere = np.delete(blocks[1:], block, axis=1).mean(axis=1)
        behind.append(blocks[1 + np.argmax(elsewhere), block] - blocks[0, block])
    return float(np.mean(behind))


def over_tables(summaries):
    """Mean and worst regret of each strategy, and on how many tables it is the best."""
    names = dict.fromkeys(
        name for summary in summaries.values() for name in summary["strategies"]
    )
    found = {}
    for name in names:
        rows = [one["strategies"].get(name, {}) for one in summaries.values()]
        regret = np.array(
            [[row.get(f"{m}_regret", np.nan) for m in ("auc", "log_loss")]
             for row in rows]
        )  # fmt: skip
        there = regret[~np.isnan(regret).any(axis=1)]
        if len(there) == 0:
            there = np.full((1, 2), np.nan)
        found[name] = {
            "auc_mean": float(there[:, 0].mean()),
            "auc_worst": float(there[:, 0].max()),
            "log_loss_mean": float(there[:, 1].mean()),
            "log_loss_worst": float(there[:, 1].max()),
            "best_auc": int((there[:, 0] < 0).sum()),
            "best_log_loss": int((there[:, 1] < 0).sum()),
            "failed": int(np.isnan(regret).any(axis=1).sum()),
            "seconds": float(sum(row.get("seconds", 0) for row in rows)),
        }
    return found


def show_tables(summaries, measured):
    """Print one line a table: the best in hindsight, AutoCombiner, and its regret."""
    shown = Table(
        "table", "AUC: best", "ours", "regret", "to rivals", "picked elsewhere",
        "above", "log loss: best", "ours", "regret", "to rivals", "above",
        title=f"regret of {OURS} to the best other strategy in hindsight (95 %)",
    )  # fmt: skip
    for name, summary in summaries.items():
        about = measured[name]
        cells = [f"{name}\n{about['rows']} x {about['members']}, {about['about']}"]
        for metric in ("auc", "log_loss"):
            ours = summary["ours"].get(metric)
            if ours is None:
                cells += ["failed"] + [""] * (5 if metric == "auc" else 4)
                continue
            low, high = ours["interval"]
            cells += [
                f"{ours['value']:.4f}\n{ours['best']}",
                f"{summary['strategies'][OURS][metric]:.4f}",
                f"{ours['regret']:+.4f}\n({low:+.4f} to {high:+.4f})",
                f"{ours['to_rivals']:+.4f}\n{ours['best_rival']}",
            ]
            if metric == "auc":
                picked = ours["elsewhere"]
                cells.append("" if picked is None else f"{picked:+.4f}")
            cells.append(f"{ours['above_all']:.0%}")
        shown.add_row(*cells)
    Console(width=220).print(shown)


def show_strategies(totals):
    shown = Table(
        "strategy", "AUC: mean", "worst", "best on", "log loss: mean", "worst",
        "best on", "failed on", "CPU s", title="regret of every strategy over tables",
    )  # fmt: skip
    for name, one in sorted(totals.items(), key=lambda item: item[1]["auc_mean"]):
        shown.add_row(
            f"[bold]{name}[/]" if name == OURS else name,
            f"{one['auc_mean']:.4f}",
            f"{one['auc_worst']:.4f}",
            str(one["best_auc"]),
            f"{one['log_loss_mean']:.4f}",
            f"{one['log_loss_worst']:.4f}",
            str(one["best_log_loss"]),
            str(one["failed"] or ""),
            f"{one['seconds']:.0f}",
        )
    Console(width=150).print(shown)
