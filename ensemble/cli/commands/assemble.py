"""``assemble``: networks that are trained already in, a saved ensemble out."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.inputs import labelled_videos_at, put_together
from ensemble.cli.output import say_grounds

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble assemble full_c23.p all_c23.p meso.h5 --out model.dfe\n\n"
    "  deepfake-ensemble assemble full_c23.p all_c23.p --combiner logistic --out "
    "model.dfe --calibrate labelled.csv --threshold fpr=0.05"
)

Checkpoints = Annotated[
    list[Path],
    typer.Argument(
        help="Checkpoints: .p, .pth, .h5, .safetensors, folders that convert wrote, "
        "or names fetched by `get`.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write.", show_default=False)
]
Combiner = Annotated[
    str,
    typer.Option(
        help="log_odds, soft, median, max, min, trimmed, hard; with --calibrate also "
        "those that learn: logistic, weighted, lightgbm ..."
    ),
]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        help="Labelled videos, best not those that the networks were trained on: "
        "root of a data set, folder with real/ and fake/, or CSV with "
        "path,label[,group].",
    ),
]
Calibration = Annotated[
    str,
    typer.Option(
        help="With --calibrate: platt, temperature, beta, isotonic, venn_abers or none."
    ),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="A number; with --calibrate also fpr=0.05, cost=10 or three-way, set on "
        "the labelled videos. Default: 0.5."
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        help="With --calibrate: number of folds in which combiner and calibration are "
        "learned. Default: 5.",
        min=2,
    ),
]
Describe = Annotated[
    str, typer.Option(help="A word about the ensemble; shown beside each verdict.")
]


def assemble(
    checkpoints: Checkpoints,
    out: Out,
    combiner: Combiner = "log_odds",
    calibrate: Calibrate = None,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    calibration: Calibration = "platt",
    threshold: Threshold = None,
    folds: Folds = None,
    describe: Describe = "",
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    seed: options.Seed = 0,
    store: options.StorePath = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Combine trained networks into an ensemble, with or without labelled videos."""
    from ensemble.cli.tables import show_fit, visible
    from ensemble.reporting.outputs import Output, check_outputs

    params = {"threshold": threshold, "random_state": seed, "store": store}
    params |= {"device": device, "verbose": not quiet}
    labelled, inputs = None, list(checkpoints)
    if calibrate is not None:
        labelled = labelled_videos_at(
            calibrate, kind=kind.value, split=split, fake_label=fake_label,
            encoding=encoding, quiet=quiet,
        )  # fmt: skip
        inputs += [*labelled.lists, *labelled.videos]
    check_outputs(
        [Output("--out", out, "model", ("assemble",))], inputs, overwrite, store
    )
    if labelled is None:
        model = put_together(checkpoints, combiner=combiner, **params)
        model.describe(describe).save(out, overwrite)
        say_grounds(model, quiet)
        typer.echo(f"Saved to {visible(out)}")
        return
    params["resampling"] = folds
    model = _learned(checkpoints, labelled, combiner, calibration, fake_label, params)
    if describe:
        model.describe(describe)
    model.save(out, overwrite)
    show_fit(model, out)


def _learned(checkpoints, labelled, combiner, calibration, fake_label, params):
    """Fit combiner, calibration and threshold on labelled videos; no network is."""
    from base_models.inputs import label_as_given
    from ensemble import DeepfakeEnsemble
    from ensemble.cli.inputs import checkpoint_detectors

    model = DeepfakeEnsemble(
        checkpoint_detectors(checkpoints, params["device"]),
        combiner=combiner,
        calibration=None if calibration == "none" else calibration,
        fake_label=label_as_given(fake_label, labelled.labels),
        **params,
    )
    return model.fit(labelled)
