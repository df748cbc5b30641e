"""``verify``: whether a converted checkpoint still gives its scores."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.errors import DRIFTED
from ensemble.cli.inputs import open_model

EXAMPLES = "Example:\n\n  deepfake-ensemble verify full_c23/"


def verify(
    model: Annotated[
        Path, typer.Argument(help="A folder that convert wrote.", exists=True)
    ],
) -> None:
    """Score a converted checkpoint's fixtures again; leave with 1 if they drifted."""
    import ensemble

    detector = open_model(model)
    if isinstance(detector, ensemble.DeepfakeEnsemble):
        raise typer.BadParameter(
            f"{model} is a saved ensemble, and whole: every part of it was compared "
            "with its checksum. verify is for the folders that convert wrote"
        )
    drift = detector.drift()
    if drift > detector.allowed_drift:
        typer.echo(
            f"{model}: P(fake) of a fixture differs by {drift:.2g} from its card, "
            f"more than {detector.allowed_drift:g}",
            err=True,
        )
        raise typer.Exit(DRIFTED)
    typer.echo(f"{model}: as it was (largest difference {drift:.1g})")
