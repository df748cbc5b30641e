"""``apply``: a rule on scores, and a table of scores, to verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.choices import FAKE, REAL, UNSCORABLE, UNSURE
from ensemble.cli import options
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.output import write_csv

if TYPE_CHECKING:
    import pandas as pd

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
    """Add P(fake) and a verdict to each row of a table of scores.

    All columns that are no scores of the rule are kept, as they are.
    """
    from ensemble.pipeline.score_pipeline import ScorePipeline
    from ensemble.pipeline.tables import read_columns
    from ensemble.reporting.outputs import Output, check_outputs
    from ensemble.reporting.own_files import VERDICTS

    target = Path("-") if out is None else out
    check_outputs([Output("--out", target, "csv")], [rule, data], overwrite=True)
    loaded = ScorePipeline.load(rule)
    asked = {"threshold": threshold, "prior": prior, "abstain": abstain or None}
    loaded.set_params(**{k: v for k, v in asked.items() if v is not None})
    thresholds = loaded.thresholds_  # what it cannot do is told first
    scores, others = read_columns(loaded, data, index, pool, encoding)
    written = Output("--out", target, "csv", (*VERDICTS, *map(str, others)))
    check_outputs([written], [rule, data], overwrite)
    judged = loaded.judge(scores)
    write_csv(target, _beside(others, judged), index=False)
    if not quiet:
        counts = judged["verdict"].value_counts()
        found = ", ".join(f"{counts.get(v, 0)} {v}" for v in (FAKE, REAL, UNSURE))
        where = thresholds.where
        if counts.get(UNSURE) == len(judged):
            where = f"But for that, {where[0].lower()}{where[1:]}"
        typer.echo(
            f"{len(judged)} rows: {found}. {_why_unsure(judged)}{where} "
            f"{thresholds.set_on}",
            err=True,
        )
    if (judged["status"] == UNSCORABLE).any():
        raise typer.Exit(SOME_UNSCORABLE)


def _why_unsure(judged: "pd.DataFrame") -> str:
    """Return the most frequent reason of UNSURE, as a sentence; nothing without one."""
    reasons = judged["reason"][judged["verdict"] == UNSURE]
    if reasons.empty:
        return ""
    counts = reasons.value_counts()
    reason = counts.index[0] or "P(fake) lies between the two thresholds"
    how_many = f"{counts.iloc[0]} of {len(reasons)}"
    return f"Most frequent reason of UNSURE ({how_many}): {reason}. "


def _beside(others: "pd.DataFrame", judged: "pd.DataFrame") -> "pd.DataFrame":
    """Put verdicts beside the columns of the table, which keep their names."""
    import pandas as pd

    prefix = ""
    while any(f"{prefix}{name}" in others for name in judged):
        prefix += "rule_"
    if prefix:
        taken = ", ".join(name for name in judged if name in others)
        typer.echo(
            f"note: the table has columns of the names {taken}; what the rule says is "
            f"in those that begin with {prefix}",
            err=True,
        )
    parts = [
        others.reset_index(drop=True),
        judged.add_prefix(prefix).reset_index(drop=True),
    ]
    return pd.concat(parts, axis=1)
