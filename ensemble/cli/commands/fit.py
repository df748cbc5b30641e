"""``fit``: labelled videos in, a saved ensemble out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.choices import FACES_POOLINGS
from ensemble.cli import options
from ensemble.cli.clusters import on_cluster
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import labelled_videos_at, named_detectors
from ensemble.cli.output import say_unscorable
from ensemble.presets import STRATEGIES

if TYPE_CHECKING:
    from ensemble.deepfake_ensemble import DeepfakeEnsemble

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble fit videos/ --out model.dfe    (videos/real, videos/fake)\n\n"
    "  deepfake-ensemble fit FaceForensics++/ --split train --out model.dfe\n\n"
    "  deepfake-ensemble fit videos.csv --out model.dfe --strategy voting\n\n"
    "  deepfake-ensemble fit videos.csv --out model.dfe --backbones efficientnet_lite0 "
    "--image-size 128 --epochs 5"
)

StrategyName = options.choice("StrategyName", STRATEGIES)
PoolingName = options.choice("PoolingName", FACES_POOLINGS)

Data = Annotated[
    Path,
    typer.Argument(
        help="Root of a data set, folder with real/ and fake/, or CSV with "
        "path,label[,group].",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write.", show_default=False)
]
Strategy = Annotated[
    StrategyName,
    typer.Option(
        help="How videos are used and scores combined.",
        metavar=options.listed(STRATEGIES),
    ),
]
Combiner = Annotated[
    str | None,
    typer.Option(help="Override the strategy's: soft, hard, log_odds, lightgbm ..."),
]
Folds = Annotated[
    int | None,
    typer.Option(help="Override the strategy's number of folds.", min=2),
]
FacesPooling = Annotated[
    PoolingName,
    typer.Option(
        help="In a video of several people, which face decides: the largest, the one "
        "that looks most like a fake, or the mean of all."
    ),
]
Describe = Annotated[
    str,
    typer.Option(help="A word about the videos; shown beside each verdict."),
]


def fit(
    data: Data,
    out: Out,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    missing: options.Missing = options.MissingName.refuse,
    duplicates: options.Duplicates = options.DuplicatesName.refuse,
    strategy: Strategy = StrategyName.stacking,
    combiner: Combiner = None,
    folds: Folds = None,
    backbones: options.Backbones = "xception,efficientnet,resnet",
    views: options.Views = "frame,face",
    train: options.Train = options.TrainName.full,
    weights: options.Weights = "imagenet",
    image_size: options.ImageSize = None,
    features: options.Features = options.FeaturesName.last,
    n_frames: options.Frames = 16,
    sampling: options.Sampling = options.SamplingName.even,
    epochs: options.Epochs = 10,
    faces_pooling: FacesPooling = PoolingName.largest,
    on_error: options.OnError = options.OnErrorName("raise"),  # noqa: B008
    store: options.StorePath = None,
    device: options.Device = None,
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    describe: Describe = "",
    seed: options.Seed = 0,
    jobs: options.JobsThere = None,
    cluster: options.Cluster = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Train an ensemble on labelled videos and save it."""
    from base_models.inputs import label_as_given
    from ensemble import DeepfakeEnsemble
    from ensemble.reporting.outputs import Output, check_outputs

    table = labelled_videos_at(
        data, kind=kind.value, split=split, missing=missing.value, quiet=quiet,
        duplicates=duplicates.value, fake_label=fake_label, encoding=encoding,
    )  # fmt: skip
    inputs = [*table.lists, *table.videos, weights]
    check_outputs([Output("--out", out, "model", ("fit",))], inputs, overwrite, store)
    model = DeepfakeEnsemble(
        named_detectors(
            backbones, views, weights, train=train.value, features=features.value,
            image_size=image_size, n_frames=n_frames, sampling=sampling.value,
            epochs=epochs,
        ),
        strategy=strategy.value, combiner=combiner, resampling=folds,
        fake_label=label_as_given(fake_label, table.labels), random_state=seed,
        n_jobs=jobs, store=store, device=device, verbose=not quiet,
        faces_pooling=faces_pooling.value, on_error=on_error.value,
    )  # fmt: skip
    with on_cluster(cluster):
        model.fit(table)
    if describe:
        model.describe(describe)
    model.save(out, overwrite)
    _finish(model, out)


def _finish(model: "DeepfakeEnsemble", out: Path) -> None:
    """Show what came of it; leave with 1 where something was left out or unscored."""
    from ensemble.cli.tables import show_fit

    show_fit(model, out)
    n_unscored = int(model.oof_scores_.isna().all(axis=1).sum())
    say_unscorable(
        n_unscored,
        len(model.oof_scores_),
        "a note above says why; no figure counts them",
    )
    if n_unscored or model.failed_detectors_ or model.skipped_videos_:
        raise typer.Exit(SOME_UNSCORABLE)
