"""``demo``: the main job on clips that it forges itself."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options

EXAMPLES = (
    "Example:\n\n  deepfake-ensemble demo --out demo\n\n"
    "Takes a few minutes on two CPU cores; a second run finds what the first computed."
)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for clips, model and tables.")
    ] = Path("demo"),
    identities: Annotated[
        int,
        typer.Option(
            help="Number of people, even; few are quick, and give no verdicts.",
            min=16,
            max=100,
        ),
    ] = 100,
    seed: options.Seed = 0,
    jobs: options.Jobs = -1,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Make clips, train four ensembles, test them on people they have not seen."""
    from ensemble.cli.demo import run_demo
    from ensemble.cli.tables import show_demo
    from ensemble.reporting.outputs import check_demo

    check_demo(out, overwrite)
    result = run_demo(
        out,
        n_identities=identities,
        random_state=seed,
        n_jobs=jobs,
        verbose=not quiet,
        say=lambda text: typer.echo(text, err=True),
    )
    show_demo(result)
