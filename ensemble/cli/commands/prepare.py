"""``prepare``: frames or face crops of a data set, to disk or into the store."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ensemble.choices import PREPARED_FORMATS
from ensemble.cli import options
from ensemble.cli.clusters import on_cluster

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble prepare FaceForensics/ crops/ --size 299 --n-frames 32\n\n"
    "  deepfake-ensemble prepare dfdc/ crops/ --every 1 --align --format jpg -j 8\n\n"
    "  deepfake-ensemble prepare videos/ --store /data/store    (for fit to find)\n\n"
    "  deepfake-ensemble fit crops/ --split train --views crop --out model.dfe    "
    "(a model of crops: it scores crops alone)\n\n"
    "A run that was stopped goes on where it was. Several sizes are several runs."
)

ViewName = options.choice("ViewName", ("face", "frame"))
FormatName = options.choice("FormatName", PREPARED_FORMATS)

Data = Annotated[
    Path,
    typer.Argument(help="Root of a data set, or a table.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Argument(
        help="Folder to write; without it only the store is filled.",
        show_default=False,
    ),
]
View = Annotated[
    ViewName, typer.Option(help="Crops around the largest face, or whole frames.")
]
Size = Annotated[int, typer.Option(help="Side of the images, pixels.", min=1)]
Every = Annotated[
    float | None,
    typer.Option(help="Seconds between frames, instead of --n-frames."),
]
Margin = Annotated[
    float, typer.Option(help="Side of a crop, as a multiple of the face's side.")
]
Align = Annotated[
    bool, typer.Option("--align", help="Rotate crops so that the eyes are level.")
]
Format = Annotated[
    FormatName, typer.Option("--format", help="webdataset: shards of PNGs.")
]
Shares = Annotated[
    str,
    typer.Option(
        help="Shares of train,val,test if the data set has no splits, in whole groups."
    ),
]
ShardVideos = Annotated[int, typer.Option(help="Videos per shard.", min=1)]


def prepare(
    data: Data,
    out: Out = None,
    view: View = ViewName.face,
    size: Size = 224,
    n_frames: options.Frames = 16,
    every: Every = None,
    margin: Margin = 1.3,
    align: Align = False,
    image_format: Format = FormatName.png,
    shares: Shares = "0.7,0.15,0.15",
    shard_videos: ShardVideos = 100,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    missing: options.Missing = options.MissingName.refuse,
    duplicates: options.Duplicates = options.DuplicatesName.refuse,
    store: options.StorePath = None,
    encoding: options.Encoding = None,
    seed: options.Seed = 0,
    jobs: options.JobsThere = None,
    cluster: options.Cluster = None,
    quiet: options.Quiet = False,
) -> None:
    """Write frames or face crops of every video, by split, label and group."""
    from ensemble.cli.inputs import data_set_at, split_shares
    from ensemble.datasets.prepare import prepare_dataset
    from ensemble.reporting.outputs import check_folder

    check_folder("OUT", out)
    _check_place(data, out)
    check_folder("--store", store)
    table = data_set_at(
        data, kind.value, split, missing.value, duplicates.value,
        encoding=encoding, quiet=quiet,
    )  # fmt: skip
    with on_cluster(cluster):
        prepared = prepare_dataset(
            table,
            out,
            view=view.value,
            size=size,
            n_frames=n_frames,
            every=every,
            margin=margin,
            align=align,
            format=image_format.value,
            shares=split_shares(shares),
            shard_videos=shard_videos,
            random_state=seed,
            n_jobs=jobs,
            store=store,
            verbose=not quiet,
        )
    left = len(table) - len(prepared)
    where = "the store" if out is None else out
    typer.echo(f"{where}: {prepared.summary()}")
    if left:
        listed = "" if out is None else f"; {out / 'left_out.csv'} says why"
        typer.echo(f"{left} of {len(table)} videos gave no image{listed}", err=True)


def _check_place(data: Path, out: Path | None) -> None:
    """Refuse a folder that would be read as a part of the data set the next time."""
    if out is not None and data.is_dir():
        inside = os.path.realpath(out) + os.sep
        if inside.startswith(os.path.realpath(data) + os.sep):
            raise typer.BadParameter(
                f"OUT {out} lies in {data}, and would be read as a part of it the next "
                "time; give a folder beside it"
            )
