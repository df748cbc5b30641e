"""``demo``: the main job on clips that it forges itself."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Jobs, Overwrite, Quiet, Seed

EXAMPLES = (
    "Example:\n\n  deepfake-ensemble demo --out demo\n\n"
    "Takes a few minutes on two CPU cores; a second run finds what the first computed."
)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for clips, model and tables.")
    ] = Path("demo"),
    identities: Annotated[
        int, typer.Option(help="People to forge from, an even number.", min=16, max=100)
    ] = 100,
    seed: Seed = 0,
    jobs: Jobs = -1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Forge clips, fit all four strategies, judge them on people nobody has seen."""
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
