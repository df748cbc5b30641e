"""``convert``: a published checkpoint in, safetensors and a JSON card out."""

from pathlib import Path
from typing import Annotated

import typer

from base_models.choices import COMPRESSIONS, VIEWS
from ensemble.cli import options

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble convert full_c23.p full_c23/\n\n"
    "  deepfake-ensemble convert mine.pth mine/ --scope face --backbone resnet18"
)

ScopeName = options.choice("ScopeName", VIEWS)
CompressionName = options.choice("CompressionName", COMPRESSIONS)


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="A .p, .pth, .h5 or .safetensors file.")
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    scope: Annotated[
        ScopeName | None,
        typer.Option(help="Whole frames or face crops. Default: from its name."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Which network. Default: from its weights.")
    ] = None,
    compression: Annotated[
        CompressionName | None,
        typer.Option(help="Of its training videos. Default: from its name."),
    ] = None,
    fake_first: Annotated[
        bool,
        typer.Option("--fake-first", help="Its outputs are in the order fake, real."),
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Convert a checkpoint to safetensors and a JSON card, without running its code."""
    from base_models import load_checkpoint
    from ensemble.reporting.outputs import check_converted

    check_converted(out_dir, checkpoint, overwrite)
    detector = load_checkpoint(
        checkpoint,
        scope=None if scope is None else scope.value,
        backbone=backbone,
        compression=None if compression is None else compression.value,
        classes=("fake", "real") if fake_first else None,
    )
    detector.save(out_dir)
    card = detector.card_
    typer.echo(
        f"{out_dir}: {card['backbone']} on {card['scope']}s, compression "
        f"{card['compression'] or 'unknown'}, trained on "
        f"{', '.join(card['trained_on'] or ['unknown data'])}, sha256 of the source "
        f"{card['source_sha256'][:12]}"
    )
