"""``index``: every video of a data set opened once, and what is in each as a table."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.clusters import on_cluster
from ensemble.cli.inputs import data_set_at

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble index dfdc/ --out dfdc.parquet --jobs -1\n\n"
    "  deepfake-ensemble index FaceForensics++/ --split train --out train.csv"
)

Root = Annotated[
    Path,
    typer.Argument(
        help="Root of a data set, folder with real/ and fake/, or table of videos.",
        show_default=False,
    ),
]
IndexFile = Annotated[
    Path,
    typer.Option("--out", "-o", help="Table to write: .parquet or .csv."),
]
NoFaces = Annotated[
    bool, typer.Option("--no-faces", help="Do not look for faces; faster.")
]


def index(
    data: Root,
    out: IndexFile,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    no_faces: NoFaces = False,
    jobs: options.JobsThere = None,
    cluster: options.Cluster = None,
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    store: options.StorePath = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a table of what each video contains; list broken videos and copies.

    A run that was stopped goes on, and opens nothing again that has not changed.
    """
    from ensemble.cli.data_tables import show_index
    from ensemble.datasets.indexing.index import index_videos
    from ensemble.reporting.outputs import Output, check_outputs

    table = table_to_show(data, kind, split, fake_label, encoding, quiet)
    planned = [Output("--out", out, "index", ("video_id", "phash"))]
    check_outputs(planned, [*table.lists, *table.videos], overwrite, store)
    finder = None if no_faces else "dlib"
    with on_cluster(cluster):
        indexed = index_videos(table, jobs, out, finder, store, verbose=not quiet)
    show_index(indexed, out)


def table_to_show(data, kind, split, fake_label, encoding, quiet):
    """Read a data set with all that is wrong with it: it is to be shown."""
    return data_set_at(
        data, kind.value, split, "keep", "allow", fake_label, encoding, quiet
    )
