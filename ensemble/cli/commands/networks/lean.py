"""``lean``: an ensemble whose networks run in fewer bits where no verdict changes."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.inputs import open_ensemble, videos_at

EXAMPLES = "Example:\n\n  deepfake-ensemble lean model.dfe videos/ --out lean.dfe"


def lean(
    model: Annotated[
        Path, typer.Argument(help="File that fit, demo or assemble wrote.",
                             show_default=False),
    ],
    videos: Annotated[
        list[Path],
        typer.Argument(help="20 or more videos like those to come, to measure on; "
                       "folders of them, or tables.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.",
                                      show_default=False)],
    drift: Annotated[
        float, typer.Option(help="How far P(fake) may move on any of them."),
    ] = 0.01,
    store: options.StorePath = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Run networks in 16 or 8 bits as far as that moves no verdict; save the ensemble.

    On processors that reckon with those, and elsewhere as before.
    """
    from ensemble import lean_engines
    from ensemble.cascade.lean_engines import BITS
    from ensemble.cli.tables import visible
    from ensemble.reporting.outputs import Output, check_outputs

    paths, lists = videos_at(videos)
    inputs = [model, *lists, *paths]
    check_outputs([Output("--out", out, "model", ("lean",))], inputs, overwrite, store)
    loaded = open_ensemble(model, "cpu", quiet)
    if store is not None:
        loaded.set_params(store=store)
    try:
        found = lean_engines(loaded, paths, drift)
    except RuntimeError as error:
        raise typer.BadParameter(str(error)) from error
    loaded.save(out, overwrite)
    for name, row in found.iterrows():
        said = row["note"] or f"{BITS.get(row['engine'], 'fewer')} bits"
        if row["drift"] == row["drift"]:
            said += (
                f" (moves the score by {row['drift']:.2g}, {row['times']:.2g} times "
            )
            said += "as fast)"
        typer.echo(f"{visible(name)}: {said}")
    typer.echo(
        f"Together they move the score by {found.attrs['drift']:.2g} at most on "
        f"{found.attrs['n_videos']} videos, and no verdict. Saved to {visible(out)}"
    )
