"""``verify``: whether a model's file is what was saved, and who signed it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.errors import DRIFTED
from ensemble.cli.inputs import is_saved_model, open_model
from ensemble.persistence.wrong_files import is_checkpoint

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
        typer.Option(help="The file of the secret that a saved model must be signed "
                     "with: 16 bytes or more (openssl rand -out FILE 32)."),
    ] = None,
) -> None:  # fmt: skip
    """Check that a saved model is unchanged; exit code 1 if it is not.

    A saved model's parts are compared with their checksums, and its signature with the
    key, or with that of the file that DEEPFAKE_ENSEMBLE_KEY names. All commands that
    load or write models go by that variable. A converted checkpoint scores its
    fixtures again.
    """
    if model.is_file() and (model.suffix == ".dfe" or is_saved_model(model)):
        _verify_saved(model, key)
        return
    if key is not None:
        raise typer.BadParameter("--key is for saved models; convert signs nothing")
    if not is_checkpoint(model):
        raise typer.BadParameter(
            f"{model} is neither a saved model nor a folder that convert wrote"
        )
    detector = open_model(model)
    drift = detector.drift()
    if drift > detector.allowed_drift:
        typer.echo(
            f"{model}: P(fake) of a fixture differs by {drift:.2g} from its card, "
            f"more than {detector.allowed_drift:g}",
            err=True,
        )
        raise typer.Exit(DRIFTED)
    lacking, scored = _unproven(model), f"largest difference {drift:.1g}"
    if lacking:
        typer.echo(
            f"{model}: it scores its fixtures as its card says ({scored}); whether it "
            f"is as it was cannot be shown: its card has no checksum of {lacking}, as "
            "in folders of earlier releases. Convert it again, from its origin"
        )
        return
    typer.echo(
        f"{model}: as it was ({scored}); it is not signed, so anybody may have written "
        "it"
    )


def _unproven(folder):
    """Return what a checkpoint's card has no checksum of; empty if of all."""
    from base_models.networks.checkpoints import CARD, CARD_DIGEST, WEIGHTS_DIGEST

    card = json.loads((folder / CARD).read_text("utf-8"))  # it was read before
    lacking = {WEIGHTS_DIGEST: "its weights", CARD_DIGEST: "what it says itself"}
    return " and ".join(words for name, words in lacking.items() if name not in card)


def _verify_saved(path, key):
    """Check the parts of a file that `save` wrote; no detector is needed for that."""
    from base_models.errors import ArtifactError, CheckpointError, refusing
    from ensemble.cli.tables import visible
    from ensemble.persistence.codec import READ
    from ensemble.persistence.load import left_out_of
    from ensemble.persistence.parts import read_parts
    from ensemble.persistence.signature import secret

    found = secret(key)
    try:
        manifest, parts = read_parts(path, READ, found)
        with refusing(ArtifactError, path, "its table of scores"):
            left_out = left_out_of(manifest)
    except CheckpointError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(DRIFTED) from error
    whole = "no damage in it" if manifest["is_whole"] else "no damage in its parts"
    whole = whole if found is None else "as it was saved"
    versions = manifest.get("versions", {})
    version = visible(str(versions.get("deepfake-ensemble", "unknown"))[:50])
    if found is not None:
        signed = "it is signed with this key"
    elif manifest["is_signed"]:
        signed = "it is signed, which was not checked: give --key"
    else:
        signed = (
            "it is not signed, so anybody may have written it, or changed its settings "
            "and their checksum"
        )
    if found is None and not manifest["is_whole"]:
        signed += "; its settings have no checksum, as in files of earlier releases"
    typer.echo(
        f"{path}: {whole} (by version {version}; {len(parts)} parts, each with its "
        f"checksum); {signed}"
    )
    for line in left_out:
        typer.echo(visible(line))
