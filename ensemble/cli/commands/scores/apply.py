"""``apply``: a rule on scores, and a table of scores, to verdicts."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.choices import FAKE, REAL, UNSCORABLE, UNSURE
from ensemble.cli import options
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.output import write_csv

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble apply rule.dfe new.csv --out verdicts.csv\n\n"
    "  deepfake-ensemble apply rule.dfe new.csv --threshold fpr=0.01 --prior 0.02"
)

Rule = Annotated[
    Path, typer.Argument(help="File that combine wrote.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="CSV to write; printed if not given."),
]


def apply(
    rule: Rule,
    data: options.ScoreTable,
    out: Out = None,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    abstain: options.Abstain = False,
    index: options.Index = None,
    pool: options.Pool = None,
    encoding: options.Encoding = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Say of each row of a table of scores what a rule says of it."""
    from ensemble.pipeline.score_pipeline import ScorePipeline
    from ensemble.pipeline.tables import read_columns
    from ensemble.reporting.outputs import Output, check_outputs
    from ensemble.reporting.own_files import VERDICTS

    target = Path("-") if out is None else out
    check_outputs([Output("--out", target, "csv", VERDICTS)], [rule, data], overwrite)
    loaded = ScorePipeline.load(rule)
    asked = {"threshold": threshold, "prior": prior, "abstain": abstain or None}
    loaded.set_params(**{k: v for k, v in asked.items() if v is not None})
    thresholds = loaded.thresholds_  # what it cannot do is told first
    judged = loaded.judge(read_columns(loaded, data, index, pool, encoding))
    write_csv(target, judged, index_label="video")
    if not quiet:
        counts = judged["verdict"].value_counts()
        found = ", ".join(f"{counts.get(v, 0)} {v}" for v in (FAKE, REAL, UNSURE))
        typer.echo(
            f"{len(judged)} rows: {found}. {thresholds.where} {thresholds.set_on}",
            err=True,
        )
    if (judged["status"] == UNSCORABLE).any():
        raise typer.Exit(SOME_UNSCORABLE)
