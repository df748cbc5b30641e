"""Compares strategies on the same videos: is the ensemble worth it, will it hold?

Everything that is judged was fitted, weighted and calibrated on other groups; by
protocol also on other manipulation methods, sources, data sets or earlier videos.
"""

import importlib.metadata
import platform
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import Videos
from base_models.store.store import Store
from ensemble._version import __version__
from ensemble.combiners.auto import AutoCombiner
from ensemble.combiners.parts.detector_skill import looks_inverted, warn_of_inverted
from ensemble.combiners.parts.rows import fold_codes
from ensemble.combiners.strategies import chosen_strategies
from ensemble.comparison.ablation import panel_contributions
from ensemble.comparison.evaluation import (
    Evaluation,
    judge,
    of_one_fit,
    of_the_same_videos,
    shift_of,
    takes_shift,
)
from ensemble.comparison.inputs import (
    ComparisonSettings,
    check_input,
    other_scales,
    warn_of_scales,
)
from ensemble.comparison.nested_cv import MemberScores, nested_scores
from ensemble.comparison.protocols import PROTOCOLS, inner_folds, protocol_splits
from ensemble.comparison.result import Comparison, ComparisonFacts
from ensemble.comparison.statistics import measure, paired_change
from ensemble.comparison.training_data import (
    seen_in_training,
    warn_of_training_videos,
)
from ensemble.comparison.wording.advice import advice_on
from ensemble.comparison.wording.caveats import say_failed, with_failures
from ensemble.comparison.wording.lead import lead_of
from ensemble.comparison.wording.summary_text import put_in_words
from ensemble.metrics.bootstrap import check_n_boot
from ensemble.out_of_fold.left_out import check_on_error


def compare_strategies(
    detectors_or_scores: Any,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    strategies: Any = "all",
    metadata: pd.DataFrame | None = None,
    protocol: str = "group-kfold",
    nesting: str | None = None,
    n_folds: int | None = None,
    repeats: int = 1,
    n_boot: int = 1000,
    level: float = 0.95,
    videos: Videos | None = None,
    random_state: int | None = 0,
    n_jobs: int | None = None,
    store: Store | str | Path | None = None,
    fake_label: Any = None,
    hold_out: Any = None,
    device: str | None = None,
    verbose: bool = False,
    min_coverage: float = 0.0,
    shift: ArrayLike | None = None,
    on_error: str = "raise",
) -> Comparison:
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
        A score table (n_videos, n_members), out of fold or of prefit detectors; or
        detectors, with their `videos`. Columns of a table with values outside 0 to 1
        are taken as combiners take them (``scale="detect"``): standardised, or ranked
        where heavy-tailed, by what their training rows say.
    y : array-like of shape (n_videos,) or None, default=None
        None takes the labels beside a score table.
    groups : array-like of shape (n_videos,) or None, default=None
        Rows that stay together, such as people; None takes those beside the table.
    strategies : "all", name, combiner, sequence or dict, default="all"
        Names, as `ensemble.combiners.resolve_combiner` takes them, or
        ``{name: combiner}``. The mean and the best member, chosen in training, are
        always among them. A name or alias shows as the strategy's label ("soft" as
        "mean"), and what has the same parameters as another one is left out; the names
        of a dict are kept.
    metadata : DataFrame or None, default=None
        One row a video, columns such as method, source, compression, dataset, time.
        Where it and the scores (or videos) have ids as their index it is put into
        their order, and so are `y` and `groups`.
    protocol : str, default="group-kfold"
        - "group-kfold": judge on unseen groups;
        - "group-holdout": the same, on one part that nothing else is done with;
        - "leave-method-out": on unseen groups and an unseen ``method`` (the reals are
          those of the unseen groups), each in turn;
        - "leave-source-out", "leave-dataset-out": on an unseen ``source`` or
          ``dataset``, each in turn; groups that are also in it are not learned from;
        - "leave-family-out": as "leave-method-out", of families of forgeries (a
          column ``family``, or known by the names of the methods: face swap,
          reenactment, talking head, whole synthesis);
        - "one-family": learned from one family, judged on the others;
        - "compression-grid": learned from one ``compression`` and tested on one, each
          with each;
        - "cross-auc": on the reals of one ``dataset`` and the fakes of another;
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
        With detectors. A `ensemble.datasets.VideoTable` brings y, groups and metadata.
    random_state : int, default=0
    n_jobs : int or None, default=None
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
        Show progress of the detectors' and strategies' fits on a terminal.
    min_coverage : float, default=0.0
        Share of the judged videos that each member and strategy must have scored; where
        one has not, it is an error that names it.
    shift : array-like of shape (n_videos,) or None, default=None
        What will be new in use: the forgery method of a fake, the source of a real. A
        strategy whose `fit` takes it, as `AutoCombiner`'s does, holds its values out in
        the folds within its training rows. What is judged is decided by `protocol`.
    on_error : {"raise", "skip"}, default="raise"
        ``"skip"`` goes on without a detector or strategy that fails in a split: its row
        of the table has no figures, and the reason in the column ``failed``. All others
        are compared as if it had not been there. The mean and the best member must not
        fail.

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
    check_n_boot(n_boot)
    check_on_error(on_error)
    data = check_input(
        detectors_or_scores, y, groups, metadata, videos, nesting, fake_label, shift
    )
    n_folds = data.default_folds if n_folds is None else n_folds
    seed = 0 if random_state is None else int(random_state)
    settings = ComparisonSettings(
        protocol, n_folds, repeats, n_boot, level, seed, n_jobs, store, device, verbose,
        on_error,
    )  # fmt: skip
    splits, notes = protocol_splits(
        protocol, data.is_fake, data.codes, data.metadata, n_folds, repeats, seed,
        hold_out, data.table_folds,
    )  # fmt: skip
    combiners = chosen_strategies(strategies, data.names, seed)
    _check_shift(data, combiners)
    warn_of_scales(data.members)
    warn_of_training_videos(data.trained_on, data.origin, stacklevel=2)
    members = data.names
    evaluation = _evaluate(data, settings, splits, notes, combiners)
    data = data.without(evaluation.failed)
    _check_coverage(evaluation.panels, min_coverage)
    return _with_failures(_summarize(data, settings, evaluation), members)


def _with_failures(comparison, members):
    """Set those that failed below the others, and say so in the verdict."""
    failed, others = comparison.facts.failed, comparison.table
    if not failed:
        return comparison
    said = say_failed(failed, len(others))
    warnings.warn(said, DeepfakeEnsembleWarning, stacklevel=3)
    return replace(
        comparison,
        table=with_failures(others, failed, members),
        verdict=f"{comparison.verdict}\n{said}",
    )


def _evaluate(data, settings, splits, notes, combiners):
    """Score what is judged by members and strategies that did not learn from it."""
    failed: dict[str, str] = {}
    if data.is_table:
        scores = MemberScores.of_table(data.members, splits)
    else:
        scores = nested_scores(data, splits, settings, failed)
        notes = notes | {"fits of each detector": scores.n_fits}
        data = data.without(failed)
    members = scores.members
    inverted = looks_inverted(
        members.to_numpy(float), data.is_fake, None, data.codes, fold_codes(members)
    )
    inverted = [str(name) for name in members.columns[inverted]]
    warn_of_inverted(inverted, "votes and non-negative weights take", stacklevel=3)
    if data.all_prefit:
        folds = None
    elif data.is_table:
        folds = data.folds_of(splits)
    else:  # in which each split's training rows were scored
        folds = [
            inner_folds(
                split, data.is_fake, data.codes, settings.n_folds, settings.random_state
            )
            for split in splits
        ]
    store = _strategy_store(data, settings)
    panels = judge(
        data, splits, scores, combiners, folds, settings.n_jobs, store,
        settings.verbose, failed if settings.on_error == "skip" else None,
    )  # fmt: skip
    panels = of_one_fit(panels, data.table_folds)
    combiners = {name: one for name, one in combiners.items() if name not in failed}
    return Evaluation(splits, notes, scores, inverted, combiners, panels, failed)


def _check_shift(data, combiners):
    """Refuse a `shift` that nobody takes, or that has nothing to hold out."""
    if data.shift is None:
        return
    if not any(map(takes_shift, combiners.values())):
        raise ValueError(
            "shift is for strategies that fold by it, such as 'auto'; none of "
            f"{', '.join(combiners)} does"
        )
    n_reals, n_fakes = (
        len(np.unique(data.shift[data.is_fake == label])) for label in (0, 1)
    )
    if max(n_reals, n_fakes) < 2:
        raise ValueError(
            "shift must have two values or more among the fakes or among the reals, to "
            f"hold one out; got {n_fakes} and {n_reals}"
        )


def _check_coverage(panels, min_coverage):
    """Refuse to go on where a member or strategy has lost too many videos."""
    if not 0 <= min_coverage <= 1:
        raise ValueError(f"min_coverage must be a share, 0 to 1; got {min_coverage!r}")
    judged = pd.concat([panel.scores for panel in panels])
    n_scored = judged.notna().sum()
    low = n_scored[n_scored < min_coverage * len(judged)]
    if len(low):
        lost = ", ".join(f"{name} {n} of {len(judged)}" for name, n in low.items())
        raise ValueError(
            f"fewer videos were scored than min_coverage={min_coverage:g} asks for: "
            f"{lost}; see why they have no score, or lower it"
        )


def _summarize(data, settings, evaluation):
    """Measure what was judged, and say how it was and what it shows."""
    seen = None
    if PROTOCOLS[settings.protocol].unseen and (data.is_table or data.all_prefit):
        seen, evaluation = _where_seen(data, settings, evaluation)
    names, codes, panels = data.names, data.codes, evaluation.panels
    level, seed = settings.level, settings.random_state
    measured = measure(
        panels, names, codes, data.metadata, settings.n_boot, level, seed,
        settings.n_jobs,
    )  # fmt: skip
    facts = _facts(data, settings, evaluation, measured)
    if seen is not None:
        seen = _measure_where_seen(data, settings, evaluation, seen, measured.table)
    ablation = panel_contributions(panels, names, codes, level, seed)
    members = evaluation.scores.members.copy(deep=False)
    for table in (measured.table, members):  # wherever they go, how they were made goes
        table.attrs = table.attrs | {"comparison": facts.to_dict()}
    found = Comparison(
        table=measured.table,
        verdict="\n".join(
            [
                lead_of(measured.table, facts),
                put_in_words(measured.table, facts, measured.by_value, seen, ablation),
            ]
        ),
        by_group_of=measured.by_group_of(),
        by_value=measured.by_value,
        ablation=ablation,
        panels=panels,
        y=data.is_fake,
        members=members,
        facts=facts,
        groups=codes,
        seen=seen,
        metadata=data.metadata,
        strategies=evaluation.combiners,
    )
    advice, to_take = advice_on(found.winner(), measured.table, facts)
    return replace(found, advice=advice, to_take=to_take)


def _facts(data, settings, evaluation, measured):
    """Say how the comparison was made."""
    splits, panels = evaluation.splits, evaluation.panels
    members, is_fake = evaluation.scores.members, data.is_fake
    common = [panel.common() for panel in panels]
    held_out, judged_rows = (
        np.unique(np.concatenate([panel.rows for panel in some]))
        for some in (panels, common)
    )
    nesting, alone = data.nesting, all(split.inner is None for split in splits)
    if not data.is_table and (alone or data.all_prefit):
        nesting = "exact"
    learned_share = np.mean([is_fake[split.train].mean() for split in splits])
    judged_share = np.mean([panel.y.mean() for panel in common])
    return ComparisonFacts(
        protocol=settings.protocol,
        compared="scores" if data.is_table else "detectors",
        nesting=nesting,
        n_videos=len(is_fake),
        n_fakes=int(is_fake.sum()),
        n_groups=int(data.codes.max() + 1),
        n_videos_held_out=len(held_out),
        n_videos_judged=len(judged_rows),
        n_groups_judged=len(np.unique(data.codes[judged_rows])),
        groups_given=data.groups is not None,
        n_folds=settings.n_folds,
        repeats=settings.repeats,
        n_boot=settings.n_boot,
        level=settings.level,
        random_state=settings.random_state,
        best_member=measured.best_member,
        look_inverted=evaluation.inverted,
        coverage=measured.coverage,
        ranked=measured.ranked,
        folds_of_the_table=data.table_folds is not None,
        share_of_fakes_learned_from=float(learned_share),
        share_of_fakes_judged=float(judged_share),
        fitted_beforehand=data.prefit,
        trained_on=data.trained_on or None,
        other_scales=other_scales(data.members),
        **_shift_facts(data, evaluation),
        seen_in_training=seen_in_training(data.trained_on, data.origin) or None,
        chosen_anew=measured.chosen_anew,
        automatic=[
            name
            for name, combiner in evaluation.combiners.items()
            if isinstance(combiner, AutoCombiner)
        ],
        **{name.replace(" ", "_"): note for name, note in evaluation.notes.items()},
        failed=evaluation.failed or None,
        versions=_versions(),
        hash_of_the_scores=joblib.hash((members.to_numpy(), is_fake, data.codes)),
    )


def _shift_facts(data, evaluation):
    """Say who held out values of `shift`, and where there was nothing to hold out."""
    if data.shift is None:
        return {}
    combiners = evaluation.combiners
    parts = zip(evaluation.splits, evaluation.scores.learned, strict=True)
    return {
        "shift_held_out_by": [n for n, one in combiners.items() if takes_shift(one)],
        "splits_without_shift": sum(
            shift_of(data, split, learned) is None for split, learned in parts
        ),
        "n_splits": len(evaluation.splits),
    }


def _where_seen(data, settings, evaluation):
    """Judge the same videos where what is held out was learned from.

    Returns
    -------
    seen : list of Panel
    evaluation : Evaluation
        Without strategies that failed there.
    """
    splits, _ = protocol_splits(
        "group-kfold", data.is_fake, data.codes, data.metadata, settings.n_folds,
        settings.repeats, settings.random_state, own_fold=data.table_folds,
    )  # fmt: skip
    scores = MemberScores.of_table(evaluation.scores.members, splits)
    failed = {} if settings.on_error == "skip" else None
    panels = judge(
        data, splits, scores, evaluation.combiners, data.folds_of(splits),
        settings.n_jobs, _strategy_store(data, settings), settings.verbose, failed,
    )  # fmt: skip
    evaluation = evaluation.without(failed or {})
    panels = of_one_fit(panels, data.table_folds)
    return of_the_same_videos(panels, evaluation.panels), evaluation


def _measure_where_seen(data, settings, evaluation, seen, table):
    """Measure what was judged where what is held out was learned from.

    What that costs each strategy is added to the table as ``over_seen``.

    Returns
    -------
    DataFrame
        The table of the same strategies where it was seen.
    """
    codes, seed = data.codes, settings.random_state
    n_boot, level = settings.n_boot, settings.level
    # what is unseen in the folds of what is seen: the same pairs for both
    unseen = [
        replace(panel, fold=seen_panel.fold)
        for panel, seen_panel in zip(evaluation.panels, seen, strict=True)
    ]
    cost = paired_change(unseen, seen, codes, n_boot, level, seed)
    for key, suffix in (("auc", ""), ("low", "_low"), ("high", "_high")):
        table[f"over_seen{suffix}"] = cost[key]
    return measure(
        seen, data.names, codes, data.metadata, n_boot, level, seed, settings.n_jobs
    ).table


def _strategy_store(data, settings):
    """Return where finished strategies are kept; None for a table without a store."""
    from base_models.store.store import resolve_store

    if data.is_table and settings.store is None:
        return None
    return resolve_store(settings.store)


def _versions():
    libraries = ("numpy", "scikit-learn", "lightgbm")
    return {
        "deepfake-ensemble": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in libraries},
    }
