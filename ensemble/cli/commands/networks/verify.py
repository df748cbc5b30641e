"""``verify``: whether a model's file is what was saved, and who signed it."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.errors import DRIFTED
from ensemble.cli.inputs import is_saved_model, open_model

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble verify full_c23/\n\n"
    "  deepfake-ensemble verify model.dfe --key secret.key"
)


def verify(
    model: Annotated[
        Path,
        typer.Argument(help="A saved model, or a folder that convert wrote.",
                       exists=True),
    ],
    key: Annotated[
        Path | None,
        typer.Option(help="The file of the key that a saved model must be signed "
                     "with.", exists=True),
    ] = None,
) -> None:  # fmt: skip
    """Say whether a model is as it was saved; leave with 1 if its scores drifted.

    A saved model's parts are compared with their checksums, and its signature with the
    key. A converted checkpoint scores its fixtures again.
    """
    if model.is_file() and is_saved_model(model):
        _verify_saved(model, key)
        return
    if key is not None:
        raise typer.BadParameter("--key is for saved models; convert signs nothing")
    detector = open_model(model)
    drift = detector.drift()
    if drift > detector.allowed_drift:
        typer.echo(
            f"{model}: P(fake) of a fixture differs by {drift:.2g} from its card, "
            f"more than {detector.allowed_drift:g}",
            err=True,
        )
        raise typer.Exit(DRIFTED)
    typer.echo(f"{model}: as it was (largest difference {drift:.1g})")


def _verify_saved(path, key):
    """Check the parts of a file that `save` wrote; no detector is needed for that."""
    from ensemble.persistence.codec import READ
    from ensemble.persistence.parts import read_parts
    from ensemble.persistence.signature import secret

    found = secret(key)
    manifest, parts = read_parts(path, READ, found)
    versions = manifest.get("versions") or {}
    signed = (
        "it is signed with this key"
        if found is not None
        else "no key was asked for, so it may be anybody's"
    )
    typer.echo(
        f"{path}: as it was saved by deepfake-ensemble "
        f"{versions.get('deepfake-ensemble', 'of an unknown version')} "
        f"({len(parts)} parts, each with its checksum); {signed}"
    )
