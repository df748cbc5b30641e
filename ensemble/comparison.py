"""Compares strategies on the same videos: is the ensemble worth it, and will it hold?

Everything that is judged was fitted, weighted and calibrated on other groups; under
"leave-method-out" also on other manipulation methods.
"""

import itertools
import math
import warnings
from dataclasses import dataclass, field

import joblib
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state

from ensemble import metrics
from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    DynamicSelection,
    GreedySelection,
    OptimizedWeights,
    Stacking,
    Voting,
    resolve_combiner,
)
from ensemble.labels import encode_labels
from ensemble.resampling import StratifiedGroupFolds, group_codes, split_rows
from ensemble.scores import companions

PROTOCOLS = ("group-kfold", "leave-method-out", "leave-source-out")
MEAN = "mean"
_EXACT_SHAPLEY = 12  # members up to which all coalitions are tried
_MAX_ODDS = 1e-6  # scores are kept this far from 0 and 1 in the log loss

_METRICS = {
    "auc": metrics.auc,
    "average_precision": metrics.average_precision,
    "log_loss": lambda y, s: metrics.log_loss(y, np.clip(s, _MAX_ODDS, 1 - _MAX_ODDS)),
    "brier": metrics.brier,
    "equal_error_rate": metrics.equal_error_rate,
    "tpr_at_fpr_1": lambda y, s: metrics.tpr_at_fpr(y, s, 0.01),
    "tpr_at_fpr_5": lambda y, s: metrics.tpr_at_fpr(y, s, 0.05),
    "tpr_at_fpr_10": lambda y, s: metrics.tpr_at_fpr(y, s, 0.10),
    "balanced_accuracy": metrics.balanced_accuracy,
    "expected_calibration_error": metrics.expected_calibration_error,
}


def named_strategies(random_state=0):
    """Return every strategy that ``strategies="all"`` compares, by name.

    Parameters
    ----------
    random_state : int, default=0

    Returns
    -------
    dict of str to Combiner

    Examples
    --------
    >>> "stacking" in named_strategies()
    True
    """
    trees = LGBMClassifier(
        n_estimators=60, num_leaves=7, n_jobs=1, verbosity=-1, random_state=random_state
    )
    return {
        "best member, chosen in training": GreedySelection("auc", n_rounds=1),
        MEAN: Voting("soft"),
        "log-odds mean": Voting(),
        "log-odds mean, calibrated": resolve_combiner("calibrated"),
        "median": Voting("median"),
        "majority vote": Voting("hard"),
        "weighted vote": OptimizedWeights(),
        "greedy selection": GreedySelection(),
        "bagging": Bagging(Stacking(shrinkage=30.0), n_replicas=25),
        "blending": Stacking(LogisticRegression(), scale="log_odds"),
        "stacking": Stacking(),
        "stacking, LightGBM": Stacking(trees, scale="probability"),
        "stacking, MLP": Stacking("mlp"),
        "dynamic selection": DynamicSelection(),
        "AutoCombiner": AutoCombiner(),
    }


@dataclass
class Panel:
    """One set of videos that all strategies are judged on.

    Attributes
    ----------
    name : str
        Held-out method or source, or "".
    repeat : int
    rows : int ndarray of shape (n_judged,)
        Rows of the score table.
    y : int ndarray of shape (n_judged,)
        1 for fake.
    scores : DataFrame of shape (n_judged, n_strategies)
        P(fake) of members and strategies, none fitted on these videos' groups.
    """

    name: str
    repeat: int
    rows: np.ndarray
    y: np.ndarray
    scores: pd.DataFrame


@dataclass
class Comparison:
    """What `compare_strategies` found.

    Attributes
    ----------
    table : DataFrame
        One row a member or strategy, best AUC first: ``kind``, every metric, ends of
        the AUC's and log loss's intervals, difference in AUC to the best member and to
        the mean (``*_low``, ``*_high``, ``p_*`` corrected by Holm), ``worst`` (the
        lowest AUC over methods) and ``coverage``.
    verdict : str
        What may be said of it, in words.
    by_group_of : dict of str to DataFrame
        AUC by method, compression, source: one row a strategy, one column a value.
    ablation : DataFrame
        One row a member: AUC of the log-odds mean without it, what it adds, and its
        Shapley value.
    panels : list of Panel
        The scores that were judged.
    y : ndarray of shape (n_videos,)
        1 for fake.
    members : DataFrame of shape (n_videos, n_members)
    how : dict
        Protocol, folds, seeds, versions.
    """

    table: pd.DataFrame
    verdict: str
    by_group_of: dict
    ablation: pd.DataFrame
    panels: list = field(repr=False)
    y: np.ndarray = field(repr=False)
    members: pd.DataFrame = field(repr=False)
    how: dict = field(repr=False)

    def to_html(self, path):
        """Write a report that is one file and opens offline; needs matplotlib.

        Parameters
        ----------
        path : str or Path
        """
        from ensemble.report import write_report

        write_report(self, path)

    def _repr_html_(self):
        return f"<p>{self.verdict}</p>" + self.table.round(4).to_html()


def compare_strategies(
    detectors_or_scores,
    y=None,
    groups=None,
    strategies="all",
    metadata=None,
    protocol="group-kfold",
    nesting=None,
    n_folds=5,
    repeats=1,
    n_boot=1000,
    level=0.95,
    videos=None,
    random_state=0,
    n_jobs=1,
    store=None,
    fake_label=None,
):
    """Judge members and strategies side by side on videos that they never learned from.

    Parameters
    ----------
    detectors_or_scores : DataFrame, array, list or dict
        A score table (n_videos, n_members) of P(fake), out of fold or of prefit
        detectors; or detectors, with their `videos`.
    y : array-like of shape (n_videos,) or None, default=None
        None takes the labels beside a score table.
    groups : array-like of shape (n_videos,) or None, default=None
        Rows that stay together, such as people; None takes those beside the table.
    strategies : "all", sequence or dict, default="all"
        Names of `named_strategies` or of combiners, or ``{name: combiner}``. The
        mean is always among them.
    metadata : DataFrame or None, default=None
        One row a video, columns such as method, source, compression.
    protocol : {"group-kfold", "leave-method-out", "leave-source-out"}
        Judge on unseen groups; on unseen groups and an unseen ``method`` (the reals
        are those of held-out groups); on an unseen ``source``.
    nesting : {"stored", "exact"} or None, default=None
        With detectors: "stored" fits each K times and reuses the table, slightly
        optimistic, since the scores a combiner learns from came from detectors that
        saw the judged labels; "exact" fits them K(K-1)/2 times more. None takes
        "exact" for a table and "stored" for detectors.
    n_folds, repeats : int
        Group folds, and how often they are drawn (a table only).
    n_boot : int, default=1000
        Draws of groups behind each interval.
    level : float, default=0.95
    videos : sequence or None, default=None
        With detectors.
    random_state : int, default=0
    n_jobs : int, default=1
        Strategies fitted side by side.
    store : Store, str, Path or None, default=None
        Where detectors' scores are kept: what was stopped goes on there.
    fake_label : label or None, default=None

    Returns
    -------
    Comparison

    References
    ----------
    Obuchowski (1997), Biometrics 53, DeLong's test for groups; Holm (1979),
    Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> scores = pd.DataFrame(
    ...     {name: 1 / (1 + np.exp(rng.normal(1 - 2 * y, 1.5))) for name in "ab"}
    ... )
    >>> found = compare_strategies(scores, y, strategies=["stacking"], n_boot=50)
    >>> sorted(found.table.index)
    ['a', 'b', 'mean', 'stacking']
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}; got {protocol!r}")
    if nesting not in (None, "stored", "exact"):
        raise ValueError(f"nesting must be 'stored' or 'exact'; got {nesting!r}")
    from_detectors = videos is not None
    is_table = isinstance(detectors_or_scores, (pd.DataFrame, np.ndarray))
    if from_detectors == is_table:
        raise TypeError(
            "compare a table of scores, or detectors with videos=...; got "
            f"{type(detectors_or_scores).__name__}"
            + (" and videos" if from_detectors else " without videos")
        )
    if from_detectors and y is None:
        raise ValueError("detectors are fitted for the comparison; y is needed")
    if not from_detectors:
        members = (
            detectors_or_scores
            if isinstance(detectors_or_scores, pd.DataFrame)
            else pd.DataFrame(np.asarray(detectors_or_scores, float)).add_prefix("p_")
        )
        beside = companions(members)
        if y is None:
            if beside["label"].isna().any():
                raise ValueError("the table has no labels beside it; give y")
            y = beside["label"].to_numpy()
        if groups is None and beside["group"].notna().all():
            groups = beside["group"].to_numpy()
        if len(y) != len(members):
            raise ValueError(f"y must have {len(members)} labels; got {len(y)}")
        members = members.astype(float)
    _, is_fake = encode_labels(y, fake_label)
    n_videos = len(is_fake)
    codes = group_codes(groups, n_videos)
    metadata = _checked_metadata(metadata, n_videos)
    axis = {"leave-method-out": "method", "leave-source-out": "source"}.get(protocol)
    if axis is not None and axis not in metadata:
        raise ValueError(
            f"protocol {protocol!r} needs metadata with a column {axis!r}; got "
            f"{list(metadata.columns)}"
        )
    seed = 0 if random_state is None else random_state
    if from_detectors:
        if axis is not None:
            raise ValueError(
                f"{protocol} on stored scores: score the videos with "
                "out_of_fold_scores over splits that leave the method out, or with "
                "prefit detectors, and compare that table"
            )
        repeats = 1
        nesting = nesting or "stored"
    folds_of = [_folds(is_fake, codes, n_folds, seed + r) for r in range(repeats)]
    tables = {}
    if from_detectors:
        members, tables = _detector_tables(
            detectors_or_scores, videos, y, codes, folds_of[0], nesting, store, seed
        )
    chosen = _chosen(strategies, seed)
    panels = _judge(
        members, is_fake, codes, metadata, axis, folds_of, chosen, tables, n_jobs
    )
    how = {
        "protocol": protocol,
        "nesting": "exact" if not from_detectors else nesting,
        "n_videos": n_videos,
        "n_fakes": int(is_fake.sum()),
        "n_groups": int(codes.max() + 1),
        "n_folds": n_folds,
        "repeats": repeats,
        "n_boot": n_boot,
        "level": level,
        "random_state": seed,
        "versions": _versions(),
        "hash of the scores": joblib.hash((members.to_numpy(), is_fake, codes)),
    }
    table = _measured(panels, is_fake, codes, members, chosen, how)
    by_group_of = _by_value(panels, is_fake, metadata)
    worst = next(iter(by_group_of.values()), None)
    if worst is not None:
        table.insert(3, "worst", worst.min(axis=1).reindex(table.index))
    ablation = member_contributions(members, is_fake)
    verdict = _verdict(table, how, panels)
    return Comparison(
        table, verdict, by_group_of, ablation, panels, is_fake, members, how
    )


def member_contributions(scores, y, random_state=0):
    """Say what each member adds to the AUC of the log-odds mean.

    Parameters
    ----------
    scores : DataFrame of shape (n_videos, n_members)
        P(fake).
    y : array-like of shape (n_videos,)
        1 for fake.
    random_state : int, default=0
        Of the orders drawn where members are more than 12.

    Returns
    -------
    DataFrame
        One row a member: ``alone``, ``without`` (AUC of all others), ``adds``
        (AUC of all less ``without``) and ``shapley``: its share of what all reach
        above .5, averaged over all orders of joining. Shares sum up to that whole.

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    >>> scores = pd.DataFrame({"good": [0.1, 0.2, 0.8, 0.9], "flat": [0.5] * 4})
    >>> member_contributions(scores, [0, 0, 1, 1])["shapley"].tolist()
    [0.5, 0.0]
    """
    names = list(scores.columns)
    y = np.asarray(y)
    odds = np.clip(scores.to_numpy(float), 1e-9, 1 - 1e-9)
    odds = np.log(odds / (1 - odds))
    known = {(): 0.5}

    def worth(some):
        some = tuple(sorted(some))
        if some not in known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # nobody scored it
                known[some] = metrics.auc(y, np.nanmean(odds[:, list(some)], axis=1))
        return known[some]

    n = len(names)
    everyone = tuple(range(n))
    shares = np.zeros(n)
    if n <= _EXACT_SHAPLEY:
        for size in range(n):
            weight = 1 / (n * math.comb(n - 1, size))
            for some in itertools.combinations(everyone, size):
                for one in set(everyone) - set(some):
                    shares[one] += weight * (worth((*some, one)) - worth(some))
    else:
        rng, n_orders = check_random_state(random_state), 500
        for _ in range(n_orders):
            order = rng.permutation(n)
            for place, one in enumerate(order):
                ahead = worth(order[: place + 1]) - worth(order[:place])
                shares[one] += ahead / n_orders
    without = [worth([m for m in everyone if m != one]) for one in everyone]
    return pd.DataFrame(
        {
            "alone": [worth([one]) for one in everyone],
            "without": without,
            "adds": worth(everyone) - np.array(without),
            "shapley": shares,
        },
        index=pd.Index(names, name="member"),
    )


def _checked_metadata(metadata, n_videos):
    if metadata is None:
        return pd.DataFrame(index=range(n_videos))
    metadata = pd.DataFrame(metadata)
    if len(metadata) != n_videos:
        raise ValueError(
            f"metadata must have one row per video, {n_videos}; got {len(metadata)}"
        )
    return metadata.reset_index(drop=True)


def _chosen(strategies, seed):
    every = named_strategies(seed)
    if isinstance(strategies, dict):
        chosen = dict(strategies)
    elif isinstance(strategies, str):
        chosen = every if strategies == "all" else {strategies: None}
    else:
        chosen = {str(name): name for name in strategies}
    for name, given in list(chosen.items()):
        if given is None or isinstance(given, str):
            chosen[name] = every.get(name) or resolve_combiner(name, seed)
    return chosen if MEAN in chosen else {MEAN: every[MEAN]} | chosen


def _folds(is_fake, codes, n_folds, seed):
    splits = split_rows(StratifiedGroupFolds(n_folds, seed), is_fake, codes)
    fold = np.empty(len(is_fake), int)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    return fold


def _detector_tables(detectors, videos, y, codes, fold, nesting, store, seed):
    """Out-of-fold scores, and for exact nesting those to learn from, by judged fold."""
    from ensemble.out_of_fold import out_of_fold_scores

    def scores(splits):
        return out_of_fold_scores(
            detectors, videos, y, codes,
            resampling=splits, store=store, random_state=seed,
        )  # fmt: skip

    numbers = range(fold.max() + 1)
    rows = np.arange(len(fold))
    splits = [(rows[fold != k], rows[fold == k]) for k in numbers]
    members = scores(splits)
    tables = {}
    if nesting == "exact":
        # a detector that saw neither fold scores both: one fit serves two judged folds
        for one, other in itertools.combinations(numbers, 2):
            out = (fold == one) | (fold == other)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # rows without a score: wanted here
                pair = scores([(rows[~out], rows[out])]).to_numpy()
            for judged, learned in ((one, other), (other, one)):
                table = tables.setdefault(judged, members.to_numpy(copy=True))
                table[fold == learned] = pair[fold == learned]
    return members, tables


def _judge(members, is_fake, codes, metadata, axis, folds_of, chosen, tables, n_jobs):
    """Return the panels: scores of everyone on what nobody learned from."""
    if axis is None:
        held_out = [""]
        value = np.full(len(is_fake), "", dtype=object)
    else:
        value = metadata[axis].to_numpy()
        held_out = sorted(
            pd.unique(value[is_fake == 1] if axis == "method" else value), key=str
        )
        if len(held_out) < 2:
            raise ValueError(
                f"leaving a {axis} out needs two or more of them; got {held_out}"
            )
    scores = members.to_numpy(float)
    tasks, panels = [], []
    for (repeat, fold), held in itertools.product(enumerate(folds_of), held_out):
        judged = np.zeros(len(is_fake), bool)
        for number in range(fold.max() + 1):
            test, train = fold == number, fold != number
            if axis is not None:
                its_own = value == held
                train &= ~its_own
                test &= its_own | ((is_fake == 0) if axis == "method" else False)
            if not test.any():
                continue
            missing = {0, 1} - set(is_fake[train].tolist())
            if missing:
                raise ValueError(
                    f"without {axis} {held!r} and one fold of groups no "
                    f"{'fake' if 1 in missing else 'real'} is left to learn from"
                )
            judged |= test
            learned = tables.get(number, scores)
            for name in chosen:
                tasks.append((len(panels), name, learned[train], train, test))
        rows = np.flatnonzero(judged)
        columns = [*members.columns, *chosen]
        panel = pd.DataFrame(np.nan, index=rows, columns=columns)
        panel[list(members.columns)] = scores[rows]
        panels.append(Panel(str(held), repeat, rows, is_fake[rows], panel))

    def run(name, learned, train, test):
        combiner = clone(chosen[name])
        learned = pd.DataFrame(learned, columns=members.columns)
        here = learned.notna().any(axis=1).to_numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            combiner.fit(learned[here], is_fake[train][here], groups=codes[train][here])
            judged = pd.DataFrame(scores[test], columns=members.columns)
            return combiner.fake_score(judged)

    found = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(run)(name, learned, train, test)
        for _, name, learned, train, test in tasks
    )
    for (number, name, _, _, test), score in zip(tasks, found, strict=True):
        panels[number].scores.loc[np.flatnonzero(test), name] = score
    return panels


def _measured(panels, is_fake, codes, members, chosen, how):
    """One row a member or strategy: metrics, intervals, paired differences."""
    names = list(panels[0].scores.columns)
    cleaned = []  # all are judged on the videos that all have scored
    for panel in panels:
        here = panel.scores.notna().all(axis=1).to_numpy()
        cleaned.append((panel.rows[here], panel.scores.to_numpy()[here]))
    n_judged = sum(len(panel.rows) for panel in panels)
    coverage = sum(len(rows) for rows, _ in cleaned) / n_judged

    def over_panels(metric, column, parts):
        return np.mean([metric(is_fake[r], s[:, column]) for r, s in parts])

    table = pd.DataFrame(
        {
            key: [over_panels(metric, c, cleaned) for c in range(len(names))]
            for key, metric in _METRICS.items()
        },
        index=pd.Index(names, name="strategy"),
    )
    table.insert(
        0, "kind", ["member" if n in members.columns else "strategy" for n in names]
    )
    draws = _draws(cleaned, is_fake, codes, len(names), how)
    tail = (1 - how["level"]) / 2
    for key, values in draws.items():
        low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
        table[f"{key}_low"], table[f"{key}_high"] = low, high
    auc, values = table["auc"].to_numpy(), draws["auc"]
    best = int(np.argmax(np.where(table["kind"] == "member", auc, -1)))
    rivals = {"best_member": best, "mean": names.index(MEAN)}
    for rival, column in rivals.items():
        ahead = auc - auc[column]
        spread = values - values[:, [column]]
        low, high = np.nanquantile(spread, [tail, 1 - tail], axis=0)
        if len(cleaned) == 1:  # one set of videos: DeLong's test, by group
            rows, score = cleaned[0]
            p = np.array(
                [
                    metrics.delong_test(
                        is_fake[rows], score[:, c], score[:, column], codes[rows]
                    ).p_value
                    for c in range(len(names))
                ]
            )
        else:
            error = np.nanstd(spread, axis=0)
            z = np.divide(ahead, error, out=np.zeros_like(ahead), where=error > 0)
            p = 2 * norm.sf(np.abs(z))
        tested = np.array([n in chosen and c != column for c, n in enumerate(names)])
        table[f"over_{rival}"] = ahead
        table[f"over_{rival}_low"], table[f"over_{rival}_high"] = low, high
        table[f"p_{rival}"] = _holm(np.where(tested, p, np.nan))
    table["coverage"] = coverage
    how["best member"] = names[best]
    return table.sort_values(["auc", "log_loss"], ascending=[False, True])


def _draws(cleaned, is_fake, codes, n_names, how):
    """AUC and log loss of everyone on the same bootstrap draws of whole groups."""
    rng = check_random_state(how["random_state"])
    n_groups = codes.max() + 1
    n_boot = how["n_boot"]
    drawn = {key: np.full((n_boot, n_names), np.nan) for key in ("auc", "log_loss")}
    losses = []
    for rows, score in cleaned:
        right = np.where(is_fake[rows, None] == 1, score, 1 - score)
        losses.append(-np.log(np.clip(right, _MAX_ODDS, 1)))
    for draw in range(n_boot):
        times = np.bincount(rng.randint(n_groups, size=n_groups), minlength=n_groups)
        aucs, means = [], []
        for (rows, score), loss in zip(cleaned, losses, strict=True):
            weight = times[codes[rows]]
            picked = np.repeat(np.arange(len(rows)), weight)
            if not len(picked):
                continue
            y = is_fake[rows][picked]
            aucs.append([metrics.auc(y, score[picked, c]) for c in range(n_names)])
            means.append(weight @ loss / weight.sum())
        drawn["auc"][draw] = np.mean(aucs, axis=0)
        drawn["log_loss"][draw] = np.mean(means, axis=0)
    return drawn


def _holm(p):
    """Return p-values corrected for how many there are; NaN stays."""
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p[i]))
        corrected[i] = largest
    return corrected


def _by_value(panels, is_fake, metadata):
    """AUC of the fakes of each method, source, compression against the judged reals."""
    found = {}
    held = any(panel.name for panel in panels)
    if held:
        found["held out"] = _mean_by_name(
            {
                (panel.name, panel.repeat): _aucs(
                    panel.scores, is_fake[panel.rows], slice(None)
                )
                for panel in panels
            }
        )
    for column in metadata.columns:
        value = metadata[column].to_numpy()
        if held and column == "method":
            continue
        for panel in panels:
            y, own = is_fake[panel.rows], value[panel.rows]
            several = pd.unique(own[y == 1])
            if not 2 <= len(several) <= 30:
                continue
            for one in several:
                # reals of the same value where there are some, else all of them
                reals = (y == 0) & (own == one)
                reals = reals if reals.any() else y == 0
                rows = reals | ((y == 1) & (own == one))
                found.setdefault(column, {})[(f"{one}", panel.repeat, panel.name)] = (
                    _aucs(panel.scores, y, rows)
                )
    return {
        name: _mean_by_name(values) if isinstance(values, dict) else values
        for name, values in found.items()
    }


def _aucs(scores, y, rows):
    table = scores.to_numpy()[rows]
    return pd.Series(
        [metrics.auc(y[rows], column) for column in table.T], index=scores.columns
    )


def _mean_by_name(values):
    names = list(dict.fromkeys(key[0] for key in values))
    return pd.DataFrame(
        {
            name: pd.concat([v for k, v in values.items() if k[0] == name], axis=1)
            .mean(axis=1)
            for name in names
        }
    )  # fmt: skip


def _verdict(table, how, panels):
    """What the figures allow to say."""
    level = f"{how['level']:.0%}"
    ours = table[(table["kind"] == "strategy") & (table.index != MEAN)]
    if ours.empty:
        ours = table[table["kind"] == "strategy"]
    first = ours.index[0]
    row = ours.iloc[0]
    where = {
        "group-kfold": "on groups that nothing was fitted on",
        "leave-method-out": "on groups and methods that no combiner was fitted on",
        "leave-source-out": "on sources that no combiner was fitted on",
    }[how["protocol"]]
    lines = [
        f"{where.capitalize()} ({how['n_videos']} videos, {how['n_groups']} groups), "
        f"the strategy with the highest AUC is {first}: {row['auc']:.4f} "
        f"({level}: {row['auc_low']:.4f} to {row['auc_high']:.4f})."
    ]
    for rival, called in (
        ("best_member", f"the best single member, {how['best member']},"),
        ("mean", "the plain mean"),
    ):
        lines.append(
            _difference(first, called, row[f"over_{rival}"], row[f"over_{rival}_low"],
                        row[f"over_{rival}_high"], row[f"p_{rival}"])
        )  # fmt: skip
    mean, single = table.loc[MEAN], table.loc[how["best member"]]
    lines.append(
        f"The mean reaches {mean['auc']:.4f}, the best member {single['auc']:.4f}, "
        "the member being chosen in hindsight, which flatters it; so does choosing "
        f"{first} among {len(ours)} strategies: p-values are corrected for that, the "
        "AUC itself is not."
    )
    surest = ours["log_loss"].idxmin()
    lines.append(
        f"Lowest log loss: {surest}, {ours.loc[surest, 'log_loss']:.4f} (the mean "
        f"{mean['log_loss']:.4f})."
    )
    if how["protocol"] != "group-kfold":
        names = sorted({panel.name for panel in panels})
        lost = [
            panel.name
            for panel in panels
            if panel.repeat == 0
            and metrics.auc(panel.y, panel.scores[first].to_numpy())
            < metrics.auc(panel.y, panel.scores[MEAN].to_numpy())
        ]
        said = f"in {len(lost)} ({', '.join(lost)})" if lost else "in none"
        lines.append(f"Of {len(names)} held out, {first} is below the mean {said}.")
    if how["nesting"] == "stored":
        lines.append(
            "Approximate: the scores that combiners learned from came from detectors "
            "that saw the judged labels, which reads slightly too well; nesting='exact' "
            "does not."
        )
    if table["coverage"].iloc[0] < 1:
        lines.append(
            f"Judged on the {table['coverage'].iloc[0]:.1%} of the videos that every "
            "member has scored."
        )
    return " ".join(lines)


def _difference(first, called, ahead, low, high, p):
    span = f"({low:+.4f} to {high:+.4f}, corrected p {p:.2g})"
    if p < 0.05 and low > 0:
        return f"It beats {called} by {ahead:.4f} AUC {span}."
    if p < 0.05 and high < 0:
        return f"It is worse than {called} by {-ahead:.4f} AUC {span}."
    return f"It cannot be told from {called}: {ahead:+.4f} AUC {span}."


def _versions():
    import platform
    from importlib.metadata import version

    from ensemble._version import __version__

    return {
        "deepfake-ensemble": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scikit-learn", "lightgbm")},
    }
