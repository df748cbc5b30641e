"""Compares strategies on the same videos: is the ensemble worth it, and will it hold?

Everything that is judged was fitted, weighted and calibrated on other groups; by
protocol also on other manipulation methods, sources, data sets or earlier videos.
"""

import importlib.metadata
import platform
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd

from base_models.groups import clean_groups, group_codes
from base_models.inputs import encode_labels
from ensemble._version import __version__
from ensemble.choices import NESTINGS
from ensemble.combiners.base import fold_codes
from ensemble.combiners.parts.evidence import looks_inverted, warn_of_inverted
from ensemble.combiners.strategies import chosen_strategies
from ensemble.comparison.ablation import panel_contributions
from ensemble.comparison.evaluation import Panel, judge
from ensemble.comparison.nested_cv import nested_scores
from ensemble.comparison.protocols import PROTOCOLS, inner_folds, protocol_splits
from ensemble.comparison.result import Comparison
from ensemble.comparison.statistics import measure, paired_change
from ensemble.comparison.summary_text import put_in_words
from ensemble.metrics.within_folds import folds_of_table
from ensemble.scores.columns import check_not_labels
from ensemble.scores.table import check_complete, companions

_DEFAULT_FOLDS = 5


def compare_strategies(
    detectors_or_scores,
    y=None,
    groups=None,
    strategies="all",
    metadata=None,
    protocol="group-kfold",
    nesting=None,
    n_folds=None,
    repeats=1,
    n_boot=1000,
    level=0.95,
    videos=None,
    random_state=0,
    n_jobs=1,
    store=None,
    fake_label=None,
    hold_out=None,
    device=None,
    verbose=False,
):
    """Judge members and strategies side by side on videos that they never learned from.

    Strategies are fitted again for each fold, and so are detectors. Rank metrics
    therefore compare a fake with the reals of its own fold alone; members of a table
    are measured alike, so that all are compared on the same pairs. Where the folds in
    which members were fitted lie beside a table, only videos of one such fold are
    compared. Log loss and all that needs a threshold take the folds together, since a
    threshold must serve all of them.

    Parameters
    ----------
    detectors_or_scores : DataFrame, array, list or dict
        A score table (n_videos, n_members) of P(fake), out of fold or of prefit
        detectors; or detectors, with their `videos`.
    y : array-like of shape (n_videos,) or None, default=None
        None takes the labels beside a score table.
    groups : array-like of shape (n_videos,) or None, default=None
        Rows that stay together, such as people; None takes those beside the table.
    strategies : "all", name, combiner, sequence or dict, default="all"
        Names of `ensemble.combiners.registry.named_strategies` or of combiners, or
        ``{name: combiner}``. The mean and the best member, chosen in training, are
        always among them.
    metadata : DataFrame or None, default=None
        One row a video, columns such as method, source, compression, dataset, time.
    protocol : str, default="group-kfold"
        - "group-kfold": judge on unseen groups;
        - "group-holdout": the same, on one part that nothing else is done with;
        - "leave-method-out": on unseen groups and an unseen ``method`` (the reals are
          those of the unseen groups), each in turn;
        - "leave-source-out", "leave-dataset-out": on an unseen ``source`` or
          ``dataset``, each in turn; groups that are also in it are not learned from;
        - "time-holdout": on the videos from some ``time`` (or ``date``) on, learning
          from earlier ones of other groups.
    nesting : {"stored", "exact"} or None, default=None
        With detectors: "stored" (None) fits each K times and reuses the table,
        approximately right and slightly optimistic, since the scores a strategy learns
        from came from detectors that saw the judged labels; "exact" fits them
        K(K-1)/2 times more. Protocols without folds are exact in any case, with K + 1
        fits for each part that is held out. With a table it says what the scores are:
        "exact" for detectors that were fitted on none of these videos, "stored" for
        out-of-fold scores; None takes what the table's provenance says.
    n_folds : int or None, default=None
        Group folds. None takes the folds that lie beside an out-of-fold table, else 5.
    repeats : int, default=1
        How often folds are drawn.
    n_boot : int, default=1000
        Draws of groups behind each interval.
    level : float, default=0.95
    videos : sequence or None, default=None
        With detectors.
    random_state : int, default=0
    n_jobs : int, default=1
        Fits side by side.
    store : Store, str, Path or None, default=None
        Where detectors' scores and finished strategies are kept: what was stopped goes
        on there. None is the user's store for detectors, none for a table.
    fake_label : label or None, default=None
    hold_out : sequence, float, date or None, default=None
        Which methods, sources or data sets to hold out in turn (None: each); the share
        for "group-holdout" or the first moment judged for "time-holdout" (None: three
        tenths of the videos).
    device : str or None, default=None
        For detectors.
    verbose : bool, default=False
        Show progress of the detectors' fits.

    Returns
    -------
    Comparison

    References
    ----------
    LeDell, Petersen, van der Laan (2015), Electronic Journal of Statistics 9, AUC
    within folds; DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; Obuchowski
    (1997), Biometrics 53, DeLong's test for groups; Holm (1979), Scandinavian Journal
    of Statistics 6; Tsamardinos, Greasidou, Borboudakis (2018), Machine Learning 107,
    for what choosing costs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> scores = pd.DataFrame(
    ...     {name: 1 / (1 + np.exp(rng.normal(1 - 2 * y, 1.5))) for name in "ab"}
    ... )
    >>> found = compare_strategies(scores, y, strategies=["stacking"], n_boot=50)
    >>> sorted(found.table.index)
    ['a', 'b', 'best member, chosen in training', 'mean', 'stacking']
    """
    if nesting not in (None, *NESTINGS):
        raise ValueError(f"nesting must be 'stored' or 'exact'; got {nesting!r}")
    is_table = isinstance(detectors_or_scores, (pd.DataFrame, np.ndarray))
    if is_table == (videos is not None):
        raise TypeError(
            "compare a table of scores, or detectors with videos=...; got "
            f"{type(detectors_or_scores).__name__}"
            + (" and videos" if is_table else " without videos")
        )
    members, beforehand = None, []
    if is_table:
        members, y, groups = _checked_table(detectors_or_scores, y, groups)
    elif y is None:
        raise ValueError("detectors are fitted for the comparison; y is needed")
    _, is_fake = encode_labels(y, fake_label)
    n_videos = len(is_fake)
    if videos is not None and len(videos) != n_videos:
        raise ValueError(f"y must have {len(videos)} labels; got {n_videos}")
    groups = clean_groups(groups, n_videos)
    codes = group_codes(groups, n_videos)
    own_fold = folds_of_table(members) if is_table and nesting != "exact" else None
    if n_folds is None:
        n_folds = _DEFAULT_FOLDS if own_fold is None else int(own_fold.max()) + 1
    metadata = _checked_metadata(metadata, n_videos)
    seed = 0 if random_state is None else int(random_state)
    splits, notes = protocol_splits(
        protocol, is_fake, codes, metadata, n_folds, repeats, seed, hold_out, own_fold
    )
    names = list(members.columns) if is_table else _detector_names(detectors_or_scores)
    chosen = chosen_strategies(strategies, names, seed)
    if is_table:
        store = None if store is None else _resolved(store)
        table = members.to_numpy(float)
        learned = [table[split.train] for split in splits]
        judged = [table[split.test] for split in splits]
        if nesting is None:
            nesting, beforehand = _stated_nesting(members)
    else:
        beforehand = _prefit_names(detectors_or_scores)
        nesting = nesting or "stored"
        members, learned, judged, notes["fits of each detector"] = nested_scores(
            detectors_or_scores, videos, is_fake, groups, codes, splits, nesting,
            n_folds, n_jobs, seed, store, device, verbose,
        )  # fmt: skip
        if all(split.inner is None for split in splits) or beforehand == names:
            nesting = "exact"
        store = _resolved(store)
    inverted = looks_inverted(
        members.to_numpy(float), is_fake, None, codes, fold_codes(members)
    )
    inverted = [str(name) for name in members.columns[inverted]]
    warn_of_inverted(inverted, "votes and non-negative weights take")
    if is_table:
        folds = _rows_of(own_fold, splits)
    else:  # in which each split's training rows were scored
        folds = [inner_folds(one, is_fake, codes, n_folds, seed) for one in splits]
    folds = None if beforehand == names else folds
    panels = judge(
        splits, learned, judged, names, is_fake, codes, chosen, n_jobs, store, folds
    )
    panels = _of_one_fit(panels, own_fold)
    found = measure(panels, names, codes, metadata, n_boot, level, seed)
    judged_rows = np.unique(np.concatenate([panel.rows for panel in panels]))
    how = {
        "protocol": protocol,
        "from": "scores" if is_table else "detectors",
        "nesting": nesting,
        "n_videos": n_videos,
        "n_fakes": int(is_fake.sum()),
        "n_groups": int(codes.max() + 1),
        "n_videos_judged": len(judged_rows),
        "n_groups_judged": len(np.unique(codes[judged_rows])),
        "groups given": groups is not None,
        "n_folds": n_folds,
        "repeats": repeats,
        "n_boot": n_boot,
        "level": level,
        "random_state": seed,
        "best member": found.best_member,
        "look inverted": inverted,
        "coverage": found.coverage,
        "ranked": found.ranked,
        "folds of the table": own_fold is not None,
        "share of fakes learned from": float(
            np.mean([is_fake[split.train].mean() for split in splits])
        ),
        "share of fakes judged": float(np.mean([panel.y.mean() for panel in panels])),
        "fitted beforehand": beforehand,
        "chosen anew": found.chosen_anew,
        **notes,
        "versions": _versions(),
        "hash of the scores": joblib.hash((members.to_numpy(), is_fake, codes)),
    }
    seen = None
    if PROTOCOLS[protocol].unseen and (is_table or beforehand == names):
        table = members.to_numpy(float)
        splits, _ = protocol_splits(
            "group-kfold", is_fake, codes, metadata, n_folds, repeats, seed,
            own_fold=own_fold,
        )  # fmt: skip
        at_home = judge(
            splits,
            [table[split.train] for split in splits],
            [table[split.test] for split in splits],
            names, is_fake, codes, chosen, n_jobs, store, _rows_of(own_fold, splits),
        )  # fmt: skip
        at_home = _of_the_same_videos(_of_one_fit(at_home, own_fold), panels)
        # what is unseen in the folds of what is seen: the same pairs for both
        unseen = [
            replace(panel, fold=home.fold)
            for panel, home in zip(panels, at_home, strict=True)
        ]
        cost = paired_change(unseen, at_home, codes, n_boot, level, seed)
        at_home = measure(at_home, names, codes, metadata, n_boot, level, seed)
        for key, column in (("auc", ""), ("low", "_low"), ("high", "_high")):
            found.table[f"over_seen{column}"] = cost[key]
        seen = at_home.table
    by_value = found.by_value
    by_group_of = {}
    if len(by_value):
        for axis, lines in by_value.groupby("axis", sort=False):
            wide = lines.pivot(index="strategy", columns="value", values="auc")
            order = lines["value"].drop_duplicates()
            by_group_of[axis] = wide.loc[found.table.index, order]
    ablation = panel_contributions(panels, names, codes, level, seed)
    return Comparison(
        table=found.table,
        verdict=put_in_words(found.table, how, by_value, seen, ablation),
        by_group_of=by_group_of,
        by_value=by_value,
        ablation=ablation,
        panels=panels,
        y=is_fake,
        members=members,
        how=how,
        groups=codes,
        seen=seen,
        metadata=metadata,
        strategies=chosen,
    )


def _rows_of(own_fold, splits):
    """Folds of each split's training rows, where a table has any."""
    return None if own_fold is None else [own_fold[split.train] for split in splits]


def _of_one_fit(panels, own_fold):
    """Split the folds of panels by those in which the members were fitted."""
    if own_fold is None:
        return panels
    both = [np.column_stack([panel.fold, own_fold[panel.rows]]) for panel in panels]
    numbers = [np.unique(fold, axis=0, return_inverse=True)[1].ravel() for fold in both]
    return [replace(p, fold=fold) for p, fold in zip(panels, numbers, strict=True)]


def _of_the_same_videos(folds, panels):
    """Judge by the folds' fits what the panels judge."""
    whole = {panel.repeat: panel for panel in folds}
    return [
        Panel(
            panel.name,
            panel.repeat,
            panel.rows,
            panel.y,
            whole[panel.repeat].scores.loc[panel.rows],
            whole[panel.repeat].fold[panel.rows],
        )
        for panel in panels
    ]


def _checked_table(table, y, groups):
    """Return members' scores, labels and groups of a table of scores."""
    if isinstance(table, np.ndarray):
        table = pd.DataFrame(np.asarray(table, float)).add_prefix("p_")
    if table.columns.has_duplicates or not len(table.columns):
        raise ValueError(
            f"a table of scores needs one name for each detector; got "
            f"{list(table.columns)}"
        )
    wrong = [n for n in table if not pd.api.types.is_numeric_dtype(table[n])]
    if wrong:
        raise ValueError(
            f"column {wrong[0]!r} holds no numbers; read the table by "
            "read_scores(frame, scores=...), which keeps labels and groups beside it"
        )
    values = table.to_numpy(float)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(
            f"scores must be P(fake), 0 to 1, or NaN; got {values[row, column]} at row "
            f"{row} in column {table.columns[column]!r}; rescale them"
        )
    beside = companions(table)
    if y is None:
        if beside["label"].isna().all():
            raise ValueError("the table has no labels beside it; give y")
        check_complete(beside["label"], "label", "label these videos or drop them")
        y = beside["label"].to_numpy()
    if groups is None and beside["group"].notna().any():
        check_complete(
            beside["group"],
            "group",
            "fill them in, drop these rows, give each of them a group of its own, or "
            "take another column for the groups (group=, --group)",
        )
        groups = beside["group"].to_numpy()
    if len(y) != len(table):
        raise ValueError(f"y must have {len(table)} labels; got {len(y)}")
    check_not_labels(values, list(map(str, table.columns)), y, by_default=False)
    return table.astype(float), y, groups


def _checked_metadata(metadata, n_videos):
    if metadata is None:
        return pd.DataFrame(index=range(n_videos))
    metadata = pd.DataFrame(metadata)
    if len(metadata) != n_videos:
        raise ValueError(
            f"metadata must have one row per video, {n_videos}; got {len(metadata)}"
        )
    metadata = metadata.reset_index(drop=True)
    for column in metadata.columns.difference(["time", "date"], sort=False):
        if metadata[column].dtype == object or isinstance(
            metadata[column].dtype, pd.StringDtype
        ):
            entries = metadata[column].astype(object).to_numpy()
            metadata[column] = pd.Series(
                clean_groups(entries, n_videos, True, f"entries of {column}"),
                dtype=object,
            )
    return metadata


def _stated_nesting(table):
    """Say what its provenance makes of a score table, and who was fitted before."""
    provenance = table.attrs.get("provenance", {})
    beforehand = [name for name in table if name in provenance.get("prefit", [])]
    if len(beforehand) == len(table.columns):
        return "exact", beforehand
    stated = provenance.get("out_of_fold")
    return {True: "stored", False: "exact"}.get(stated, "unstated"), beforehand


def _detector_names(detectors):
    from base_models.scoring.naming import name_detectors

    return [name for name, _ in name_detectors(detectors)]


def _prefit_names(detectors):
    from base_models.scoring.naming import name_detectors
    from ensemble.out_of_fold.prefit import is_prefit

    return [name for name, one in name_detectors(detectors) if is_prefit(one)]


def _resolved(store):
    from base_models.store.store import resolve_store

    return resolve_store(store)


def _versions():
    libraries = ("numpy", "scikit-learn", "lightgbm")
    return {
        "deepfake-ensemble": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in libraries},
    }
