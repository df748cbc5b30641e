"""``combine``: a table of scores and labels in, a rule on scores out."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli import options
from ensemble.cli.inputs import check_labelled, split_names
from ensemble.cli.output import write_out

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.pipeline.score_pipeline import ScorePipeline

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble combine train.csv --out rule.dfe\n\n"
    '  deepfake-ensemble combine train.csv --scores "p_*" --label label --group '
    "person --combiner logistic --threshold fpr=0.05 --out rule.dfe"
)

Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write.", show_default=False)
]
Combiner = Annotated[
    str,
    typer.Option(
        help="auto, log_odds, soft, median, calibrated, logistic, lightgbm, greedy ... "
        "or what compare calls a strategy."
    ),
]
Calibration = Annotated[
    str, typer.Option(help="platt, temperature, beta, isotonic, venn_abers or none.")
]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="A number, fpr=0.05, cost=10 or three-way, set on out-of-fold scores; 0.5 "
        "if not given."
    ),
]
Draws = Annotated[int, typer.Option(help="Bootstrap draws for each interval.", min=0)]


def combine(
    data: options.ScoreTable,
    out: Out,
    combiner: Combiner = "auto",
    calibration: Calibration = "platt",
    threshold: Threshold = None,
    prior: options.Prior = None,
    abstain: options.Abstain = False,
    scores: options.Scores = None,
    label: options.Label = None,
    group: options.Group = None,
    shift: options.Shift = None,
    index: options.Index = None,
    pool: options.Pool = None,
    invert: options.Invert = None,
    draws: Draws = 200,
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn how to combine scores from a labelled table, and save the rule."""
    settings = SimpleNamespace(**locals())
    from ensemble.reporting.outputs import Output, check_outputs

    check_outputs([Output("--out", out, "model", ("combine",))], [data], overwrite)
    table, beside = _labelled(settings)
    rule = _rule(settings, beside)
    if beside["group"].isna().all():
        typer.echo(
            "note: no groups were given, so that videos of one person or source count "
            "as independent and error rates may be too good; name their column with "
            "--group",
            err=True,
        )
    shifted = beside.get("shift")
    rule.fit(table, beside["label"], groups=beside["group"], shift=shifted)
    rule.save(out, overwrite)
    write_out(f"{rule.describe()}\nSaved to {out}\n")


def _labelled(settings: SimpleNamespace) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Read the scores of the rows with a label, and what lies beside them."""
    from ensemble.pipeline.tables import read_training, turn_round

    scores, invert = settings.scores, settings.invert
    table, beside = read_training(
        settings.data,
        split_names(scores) if scores is not None and "," in scores else scores,
        settings.label,
        settings.group,
        settings.index,
        settings.shift,
        settings.pool,
        settings.encoding,
    )
    if invert is not None:
        table = turn_round(table, split_names(invert))
    labelled = beside["label"].notna()
    if not labelled.any():
        raise typer.BadParameter(
            f"{settings.data} has no labels, which a rule is learned from; name their "
            "column with --label"
        )
    if not labelled.all():
        n_left_out = int((~labelled).sum())
        typer.echo(f"note: {n_left_out} rows without a label are left out", err=True)
    check_labelled(settings.data, beside[labelled], settings.fake_label)
    return table[labelled], beside[labelled]


def _rule(settings: SimpleNamespace, beside: "pd.DataFrame") -> "ScorePipeline":
    from base_models.inputs import label_as_given
    from ensemble import ScorePipeline
    from ensemble.combiners.registry import resolve_combiner

    calibration = settings.calibration
    combiner = resolve_combiner(settings.combiner, settings.seed)
    if "verbose" in combiner.get_params():
        combiner.set_params(verbose=not settings.quiet)
    return ScorePipeline(
        combiner,
        calibration=None if calibration == "none" else calibration,
        threshold=settings.threshold,
        prior=settings.prior,
        abstain=settings.abstain,
        n_boot=settings.draws,
        random_state=settings.seed,
        fake_label=label_as_given(settings.fake_label, beside["label"].tolist()),
    )
