"""The part AutoCombiner of `combiners.py`: what its fit costs, and beside peers."""

import warnings

import numpy as np
from combiners_parts.made import cpu_timed, make_table
from combiners_parts.naive_greedy import NaiveGreedy
from goals import Goal
from regret_parts.peers import peers
from regret_parts.tables import ScoreTable, folds_of, real_tables
from scipy.special import logit
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ensemble.combiners import AutoCombiner, DynamicSelection, resolve_combiner
from ensemble.combiners.registry import default_candidates

SIZES = ("10000x10", "100000x20")
MOST_SECONDS = {"10000x10": 15, "100000x20": 120}
MOST_TIMES = {"10000x10": 8}  # the two slowest candidates' own fits
KNOWN_ROWS, KNOWN_FOR_GOAL = (2_500, 10_000, 100_000), 10_000
SCORED_ROWS, ROWS_A_SECOND = 20_000, 50_000
MOST_NEIGHBOURS = 120  # of those that n_neighbors="auto" tries, the slowest


def measure_fits(size):
    """CPU seconds of AutoCombiner's fit, and of each of its candidates' own."""
    scores, y = make_table(*map(int, size.split("x")))
    candidates = {}
    for name in default_candidates():
        one = resolve_combiner(name, 0)
        candidates[name] = cpu_timed(lambda one=one: one.fit(scores, y))[1]
        print(f"{size}: {name} {candidates[name]:.2f} CPU seconds", flush=True)
    auto, seconds = cpu_timed(lambda: AutoCombiner().fit(scores, y))
    slowest = sum(sorted(candidates.values())[-2:])
    print(f"{size}: AutoCombiner {seconds:.1f}, takes {auto.choice_}", flush=True)
    return {
        "auto": seconds,
        "candidates": candidates,
        "two_slowest": slowest,
        "times": seconds / slowest,
        "choice": auto.choice_,
    }


def measure_dynamic(times):
    """CPU seconds to fit, and rows that a CPU second scores, the most of some runs."""
    found = {}
    for n_known in KNOWN_ROWS:
        found[str(n_known)] = {}
        scores, y = make_table(n_known + SCORED_ROWS, 10)
        for number in ("auto", MOST_NEIGHBOURS):
            combiner = DynamicSelection(n_neighbors=number)
            known = scores[:n_known], y[:n_known]
            _, fit = cpu_timed(lambda known=known, one=combiner: one.fit(*known))
            fresh = scores[n_known:]
            least = min(
                cpu_timed(lambda fresh=fresh, one=combiner: one.fake_score(fresh))[1]
                for _ in range(times)
            )
            found[str(n_known)][str(number)] = {
                "fit_seconds": fit,
                "rows_a_second": SCORED_ROWS / least,
                "n_neighbors": f"{combiner.n_neighbors_:g}",  # JSON has no infinity
            }
            print(
                f"DynamicSelection, {n_known} x 10 known, n_neighbors={number!r} "
                f"({combiner.n_neighbors_:g}): fit {fit:.2f} CPU seconds, "
                f"{SCORED_ROWS / least:,.0f} rows a CPU second",
                flush=True,
            )
    return found


def strategies():
    """Return, by name, what fits on scores, labels and groups."""

    def auto(scores, y, groups):
        return AutoCombiner().fit(scores, y, groups=groups)

    def by_column(scores, y, groups):
        members = [
            (f"column {j}", one_column(j, column)) for j, column in enumerate(scores.T)
        ]
        folds = folds_of(y, groups, seed=0)
        stacking = StackingClassifier(members, LogisticRegression(), cv=folds)
        return stacking.fit(scores, y)

    def by_three(scores, y, groups):
        three = peers(0)["peer: StackingClassifier"]
        return three.set_params(cv=folds_of(y, groups, seed=0)).fit(scores, y)

    def greedy(scores, y, groups):
        return NaiveGreedy().fit(scores, y)

    return {
        "AutoCombiner": auto,
        "StackingClassifier, a logistic regression a column": by_column,
        "StackingClassifier, logistic, LightGBM, extra trees": by_three,
        "naive greedy loop on log loss": greedy,
    }


def one_column(number, scores):
    """A member for StackingClassifier: one column, as log-odds where it is P(fake)."""
    only = ColumnTransformer([("column", SimpleImputer(), [number])])
    scaled = StandardScaler()
    if np.nanmin(scores) >= 0 and np.nanmax(scores) <= 1:
        scaled = FunctionTransformer(_log_odds)
    return make_pipeline(only, scaled, LogisticRegression())


def _log_odds(scores):
    return logit(np.clip(scores, 1e-3, 1 - 1e-3))


def tables(folder):
    """Yield a made table, fitted on one half, and those of a folder."""
    scores, y = make_table(20_000, 10)
    halves = [(np.arange(10_000), np.arange(10_000, 20_000))]
    yield ScoreTable("made, 10,000 x 10", "", scores, y, halves)
    if folder is not None:
        for name, build in real_tables(folder).items():
            if "_new_method" not in name:
                yield build(seed=0)


def measure_beside_peers(folder):
    """Mean AUC, log loss and CPU seconds to fit, over the splits of each table."""
    found = {}
    for table in tables(folder):
        found[table.name] = {}
        for name, fit in strategies().items():
            values = [_measured(fit, table, *split) for split in table.splits]
            area, loss, seconds = np.mean(values, axis=0)
            found[table.name][name] = {
                "auc": area,
                "log_loss": loss,
                "fit_seconds": seconds,
            }
            figures = f"{area:.4f} {loss:8.4f} {seconds:8.2f}"
            print(f"{table.name:24} {name:52} {figures}", flush=True)
    return found


def _measured(fit, table, train, test):
    y, groups = table.is_fake, table.groups
    own = None if groups is None else groups[train]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of inverted members: real tables have some
        fitted, seconds = cpu_timed(lambda: fit(table.scores[train], y[train], own))
        score = fitted.predict_proba(table.scores[test])[:, 1]
    score = np.where(np.isnan(score), y[train].mean(), score)
    return roc_auc_score(y[test], score), log_loss(y[test], score), seconds


def measure(sizes, folder, times):
    """Measure all of this part; return the raw figures."""
    found = {"fits": {size: measure_fits(size) for size in sizes}}
    found["dynamic"] = measure_dynamic(times)
    print("\nBeside peers, on unseen groups: AUC, log loss, CPU seconds to fit")
    found["beside_peers"] = measure_beside_peers(folder)
    return found


def goals(found):
    """Yield the goals of this part."""
    for size, values in found["fits"].items():
        if size in MOST_SECONDS:
            yield Goal.at_most(
                f"AutoCombiner, {size}: CPU seconds to fit",
                values["auto"],
                MOST_SECONDS[size],
            )
        if size in MOST_TIMES:
            yield Goal.at_most(
                f"AutoCombiner, {size}: times its two slowest candidates' own fits",
                values["times"],
                MOST_TIMES[size],
            )
    for number, values in found["dynamic"][str(KNOWN_FOR_GOAL)].items():
        yield Goal.at_least(
            f"DynamicSelection, {KNOWN_FOR_GOAL} x 10 known, n_neighbors={number}: "
            "rows a CPU second",
            values["rows_a_second"],
            ROWS_A_SECOND,
        )
