"""``get``: a published checkpoint, fetched from its publisher and kept by name."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble get mesonet-meso4-df    (shows its licence)\n\n"
    "  deepfake-ensemble get mesonet-meso4-df --accept-licence Apache-2.0\n\n"
    "  deepfake-ensemble get faceforensics-all-c23 --file all_c23.p --accept-licence "
    "FaceForensics-terms"
)

_MB = 10**6


def get(
    name: Annotated[
        str, typer.Argument(help="Name, as `models` lists it.", show_default=False)
    ],
    accept_licence: Annotated[
        str | None,
        typer.Option(help="Name of its licence, which you thereby accept."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A file that you downloaded yourself; nothing is fetched."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where models are kept; DEEPFAKE_ENSEMBLE_MODELS, or a folder in the "
            "user's data directory, if not given."
        ),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Refuse larger files, bytes.", min=1)
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, nothing of the model.")
    ] = False,
) -> None:
    """Download a published checkpoint, to be used as --model NAME.

    Weights of a foundation model are no detector: --weights NAME starts from them.
    """
    from base_models.published import fetch_model, published_model
    from ensemble.cli.commands.networks.models import describe

    entry = published_model(name)
    if not quiet:
        for line in describe(entry):
            typer.echo(line, err=True)
    path = fetch_model(
        name, accept_licence, folder, file, max_bytes, None if quiet else _Progress()
    )
    use = entry.use if folder is None else entry.use.replace(name, str(path))
    typer.echo(f"{path}: use it as {use}")


class _Progress:
    """Says how much there is, ten times on the way."""

    def __init__(self):
        self._said = -1

    def __call__(self, done, total):
        step = 10 * done // total if total else done // (100 * _MB)
        if step > self._said:
            self._said = step
            of = f" of {total / _MB:.1f}" if total else ""
            typer.echo(f"{done / _MB:.1f}{of} MB", err=True)
