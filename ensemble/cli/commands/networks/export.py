"""``export``: each member's network as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.inputs import open_model, videos_at

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble export model.dfe --onnx members/\n\n"
    "  deepfake-ensemble export full_c23/ --onnx full_c23.onnx --int8 --calibrate "
    "videos/"
)


def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="File that fit or demo wrote, folder that convert wrote, or a "
            "checkpoint.",
            show_default=False,
        ),
    ],
    onnx: Annotated[
        Path,
        typer.Option(
            help="Folder to write, or the .onnx file of a single network.",
            show_default=False,
        ),
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write an 8-bit version of each.")
    ] = False,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Videos, or folders of them, for --int8: half of them set the ranges, "
            "the others measure how far scores differ. May be repeated."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write each detector's network to ONNX with its preprocessing, and check it."""
    from base_models import export_onnx
    from ensemble.cli.tables import show_exported
    from ensemble.persistence.onnx_members import check_exported, export_members

    if calibrate and not int8:
        raise typer.BadParameter("--calibrate serves --int8, which was not given")
    videos, lists = videos_at(calibrate or [])
    check_exported(onnx, None, int8, [model, *lists, *videos], overwrite)
    loaded = open_model(model)
    check_exported(onnx, loaded, int8, [model, *lists, *videos], overwrite)
    if onnx.suffix != ".onnx":
        cards, skipped = export_members(loaded, onnx, int8, videos)
        show_exported(cards, skipped, onnx)
        return
    if hasattr(loaded, "detectors_"):
        raise typer.BadParameter(
            f"{model} is an ensemble: --onnx must be a folder, not {onnx}"
        )
    card = export_onnx(loaded, onnx, int8, videos)
    show_exported({onnx.stem: card}, {}, onnx.parent)
