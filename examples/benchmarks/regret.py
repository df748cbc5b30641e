"""Measure how far AutoCombiner stays behind the best strategy in hindsight.

    python examples/benchmarks/regret.py --tables DIR --seeds 10 --cache DIR --jobs 2

Every combiner of the family and what one would write by hand (peers) are fitted on the
same folds of each table of scores. Regret is how much worse a strategy is than the best
of all others *in the same run*, which was lucky too: chosen among thirty by the very
figures that it is compared by, so that regret is a little too high on small tables.
"""

import argparse
import hashlib
import inspect
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich
from goals import Goal, machine, write
from joblib import Parallel, delayed
from regret_parts.made import made_tables
from regret_parts.peers import peers
from regret_parts.summary import (
    over_tables,
    show_strategies,
    show_tables,
    summarise,
)
from regret_parts.tables import real_tables
from rich.progress import track
from sklearn.base import clone

from base_models.naming import did_you_mean
from ensemble.combiners import resolve_combiner
from ensemble.combiners.base import Combiner
from ensemble.combiners.registry import default_candidates, named_strategies

N_DRAWS = 200
FAST_ROWS, FAST_FOLDS = 300, 2
AUC_REGRET, LOSS_REGRET, MEAN_REGRET = 0.003, 0.01, 0.001


def strategies(seed):
    """Every strategy of the family, AutoCombiner's candidates, and the peers."""
    found = named_strategies(seed)
    known = {_words(one) for one in found.values()}
    for name in default_candidates():
        candidate = resolve_combiner(name, seed)
        if _words(candidate) not in known:
            found[f"candidate: {name}"] = candidate
    return found | peers(seed)


def rivals():
    """Names of AutoCombiner's candidates and of the peers: what it is to come close to.

    The rest of the family is shown beside them. It holds strategies that nobody could
    choose on training rows, such as the maximum, which may be right under a shift.
    """
    candidates = {_words(resolve_combiner(name, 0)) for name in default_candidates()}
    return {
        name
        for name, one in strategies(0).items()
        if _words(one) in candidates or name in peers(0)
    }


# ---------------------------------------------------------------- one strategy


def measure(table, strategy):
    """Fit and score one strategy over the splits of a table.

    Returns
    -------
    dict
        "auc" and "log_loss": lists of a value a fold, or where the split is given a
        value a draw of its test rows; "seconds" of CPU time; "unscored", the share of
        test rows without a score, which count as the training share of fakes; "error",
        None or in words.
    """
    auc, loss, n_unscored = [], [], 0
    start = time.process_time()
    try:
        scored = [_score(table, strategy, *split) for split in table.splits]
    except Exception as error:  # a strategy that fails is a result
        return {"auc": [], "log_loss": [], "seconds": 0.0, "unscored": 1.0,
                "error": f"{type(error).__name__}: {error}"[:300]}  # fmt: skip
    seconds = time.process_time() - start
    for (train, test), score in zip(table.splits, scored, strict=True):
        missing, y = np.isnan(score), table.is_fake[test]
        n_unscored += missing.sum()
        prior = table.is_fake[train].mean()
        score = np.where(missing, prior, score)
        weight = _prior_weight(y, prior) if table.same_prior else np.ones(len(y))
        n_draws = N_DRAWS if table.bootstrap else 0
        areas, losses = _figures(y, score, weight, n_draws)
        auc += areas
        loss += losses
    n_tested = sum(len(test) for _, test in table.splits)
    return {
        "auc": auc,
        "log_loss": loss,
        "seconds": seconds,
        "unscored": float(n_unscored / n_tested),
        "error": None,
    }


def _score(table, strategy, train, test):
    strategy, also = clone(strategy), {}
    if isinstance(strategy, Combiner):
        if table.groups is not None:
            also["groups"] = table.groups[train]
        takes = inspect.signature(strategy.fit).parameters
        if table.shift is not None and "shift" in takes:
            also["shift"] = table.shift[train]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strategy.fit(table.scores[train], table.is_fake[train], **also)
        return strategy.predict_proba(table.scores[test])[:, 1]


def _prior_weight(is_fake, prior):
    return np.where(is_fake == 1, prior, 1 - prior) / np.where(
        is_fake == 1, is_fake.mean(), 1 - is_fake.mean()
    )


def _figures(is_fake, score, weight, n_draws):
    """AUC and log loss of all rows, then of draws of them that are everyone's."""
    right = np.clip(np.where(is_fake == 1, score, 1 - score), np.finfo(float).eps, 1)
    losses = -np.log(right) * weight
    place = np.unique(score, return_inverse=True)[1]
    auc, loss = [], []
    for count in _draws(len(score), n_draws):
        fakes = np.bincount(place, count * is_fake)
        reals = np.bincount(place, count * (1 - is_fake))
        won = (fakes * (np.cumsum(reals) - reals / 2)).sum()  # a tie is won by half
        auc.append(float(won / (fakes.sum() * reals.sum())))
        loss.append(float(losses @ count / (weight @ count)))
    return auc, loss


def _draws(n_rows, n_draws):
    """How often each row is in: all once, then drawn with replacement."""
    yield np.ones(n_rows)
    draw = np.random.default_rng(n_rows)
    for _ in range(n_draws):
        yield np.bincount(draw.integers(n_rows, size=n_rows), minlength=n_rows)


# ---------------------------------------------------------------- all of them


@dataclass
class Cache:
    """Results on disk, one file a table, strategy and seed; failures are not kept.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    rerun : set of str, default=()
        Strategies that are measured once more.

    A result is found again where the table's content, the strategy's parameters and
    the seed are the same. It knows nothing of the code: name what changed in `rerun`.
    """

    folder: Path | None
    rerun: Collection[str] = ()

    def path(self, table, name, strategy, seed):
        rows = np.concatenate([rows for split in table.splits for rows in split])
        shift = None if table.shift is None else np.array(table.shift, "U")
        content = hashlib.sha256(repr((name, _words(strategy), seed)).encode())
        for array in (table.scores, table.is_fake, rows, table.groups, shift):
            content.update(b"none" if array is None else array.tobytes())
        content.update(b"same prior" * table.same_prior)
        return self.folder / f"{table.name}-{seed}-{content.hexdigest()[:24]}.json"

    def known(self, table, name, strategy, seed):
        if self.folder is None or name in self.rerun:
            return None
        path = self.path(table, name, strategy, seed)
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, table, name, strategy, seed, result):
        if self.folder is not None and result["error"] is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.path(table, name, strategy, seed)
            partial_path = path.with_suffix(f".{os.getpid()}")
            partial_path.write_text(json.dumps({"strategy": name, **result}))
            partial_path.replace(path)


def _words(strategy):
    return f"{type(strategy).__name__} {sorted(strategy.get_params().items(), key=str)}"


def run(builders, seeds, cache, jobs=1, max_rows=None, max_folds=None, chosen=None):
    """Measure all strategies on all tables.

    Parameters
    ----------
    builders : dict of str to callable
        ``build(seed, max_rows)`` of each table.
    seeds : int
    cache : Cache
    jobs : int, default=1
    max_rows, max_folds : int or None, default=None
        For a quick look.
    chosen : callable or None, default=None
        ``chosen(seed)`` returns strategies by name; None is `strategies`.

    Returns
    -------
    dict
        Table -> {"about", "rows", "members", "fakes", "bootstrap", "test_share",
        "results": strategy -> list of `measure`'s, a seed each}.
    """
    found, todo = {}, []
    for name, build in track(builders.items(), "tables", transient=True):
        for seed in range(seeds):
            table = build(seed, max_rows)
            table.splits = table.splits[:max_folds]
            if seed == 0:
                found[name] = _described(table)
            elif table.bootstrap:
                break  # its split is the same for all seeds
            for label, strategy in (chosen or strategies)(seed).items():
                result = cache.known(table, label, strategy, seed)
                found[name]["results"].setdefault(label, []).append(result)
                if result is None:
                    todo.append((table, label, strategy, seed))
    measured = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_measure_and_keep)(cache, *one) for one in todo
    )
    progress = track(measured, "fits", total=len(todo), transient=True)
    left = Counter(table.name for table, *_ in todo)
    for (table, label, _, seed), result in zip(todo, progress, strict=True):
        found[table.name]["results"][label][seed] = result
        left[table.name] -= 1
        if not left[table.name]:
            n_done = len(found) - sum(n > 0 for n in left.values())
            _say_done(f"{n_done} of {len(found)} tables: {table.name} is measured")
    return found


def _say_done(text):
    """Print a line where there is no terminal, and so no bar."""
    if not rich.get_console().is_terminal:
        print(text, file=sys.stderr, flush=True)


def _chosen_tables(builders, words, parser):
    """Keep the tables with one of some words in their names; refuse what none has."""
    for word in words:
        if not any(word in name for name in builders):
            parser.error(
                f"--only: no table has {word!r} in its name; known are "
                f"{', '.join(builders)}{did_you_mean(word, builders)} (tables of your "
                "own come with --tables FOLDER)"
            )
    return {
        name: build
        for name, build in builders.items()
        if not words or any(word in name for word in words)
    }


def _measure_and_keep(cache, table, label, strategy, seed):
    result = measure(table, strategy)
    cache.keep(table, label, strategy, seed, result)
    return result


def _described(table):
    return {
        "about": table.about,
        "rows": len(table.is_fake),
        "members": table.scores.shape[1],
        "fakes": float(table.is_fake.mean()),
        "bootstrap": table.bootstrap,
        "test_share": float(
            np.mean([len(test) / len(train) for train, test in table.splits])
        ),
        "results": {},
    }


def goals_of(summaries):
    found = []
    for name, summary in summaries.items():
        for metric, words, most in (
            ("auc", "AUC", AUC_REGRET),
            ("log_loss", "log loss", LOSS_REGRET),
        ):
            regret = summary["ours"].get(metric, {}).get("to_rivals", float("nan"))
            yield Goal.at_most(f"{name}: regret in {words}", regret, most)
            found.append(regret)
    mean = np.mean(found[::2])
    yield Goal.at_most("mean over tables: regret in AUC", mean, MEAN_REGRET)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", help="folder of score tables (label, group, p_*)")
    parser.add_argument("--seeds", type=int, default=3, help="repeats; 10 to publish")
    parser.add_argument(
        "--only", nargs="+", default=[], help="tables, by words in names"
    )
    parser.add_argument("--cache", type=Path, help="folder for results; goes on there")
    parser.add_argument(
        "--rerun",
        nargs="+",
        default=[],
        metavar="STRATEGY",
        help='whose code has changed; "family" is all but the peers',
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--fast", action="store_true",
        help=f"{FAST_ROWS} rows and {FAST_FOLDS} folds a table: whether it runs",
    )  # fmt: skip
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()

    builders = (real_tables(options.tables) if options.tables else {}) | made_tables()
    builders = _chosen_tables(builders, options.only, parser)
    known = strategies(0)
    family = [name for name in known if name not in peers(0)]
    rerun = {*options.rerun, *(family if "family" in options.rerun else [])}
    unknown = rerun - {"family", *known}
    if unknown:
        parser.error(f"--rerun: unknown {sorted(unknown)}; known are {list(known)}")
    print(machine())
    measured = run(
        builders,
        options.seeds,
        Cache(options.cache, rerun),
        options.jobs,
        FAST_ROWS if options.fast else None,
        FAST_FOLDS if options.fast else None,
    )
    summaries = {name: summarise(one, rivals()) for name, one in measured.items()}
    totals = over_tables(summaries)
    show_tables(summaries, measured)
    show_strategies(totals)
    for name, summary in summaries.items():
        for strategy, one in summary["strategies"].items():
            if one["error"]:
                print(f"{name}: {strategy} failed: {one['error']}")
    print("""
The interval is of one table's folds and seeds (of draws of its test rows where the
split is given): it does not say what other tables, members or fakes would give, and the
best was picked with the same rows. "picked elsewhere" is without that luck. Rivals are
AutoCombiner's candidates and the peers; goals are set on the regret to their best.
""")
    raw = {"seeds": options.seeds, "tables": {}, "strategies": totals}
    for name, summary in summaries.items():
        about = {key: it for key, it in measured[name].items() if key != "results"}
        raw["tables"][name] = about | summary
    write(list(goals_of(summaries)), raw, options.json)


if __name__ == "__main__":
    main()
