"""``batch``: verdicts on a table of any length, written part by part."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from base_models.addresses import public_name
from base_models.choices import ENGINES
from base_models.limits import current_limits
from ensemble.cli import options
from ensemble.cli.clusters import on_cluster
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import models_and_videos, open_ensemble
from ensemble.cli.output import cascade_asked, say_cascade, say_grounds, say_unscorable

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble batch model.dfe videos.parquet --out verdicts/\n\n"
    "  deepfake-ensemble batch model.dfe s3://bucket/videos.csv.gz --out "
    "s3://bucket/verdicts --cluster tcp://scheduler:8786\n\n"
    "  deepfake-ensemble batch model.dfe videos.parquet --out verdicts/ --engine ray"
)
EngineName = options.choice("EngineName", ENGINES)


ModelThenTable = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL TABLE",
        help="The model, unless --model gives it; then the table of videos: "
        "parquet, a folder of such files, CSV (also .csv.gz; columns stay text), or an "
        "address. Relative paths in it start at its own folder. A column with the name "
        "of an output column becomes input_NAME.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder or address for the results: new, empty, or of a stopped run, "
        "which continues. A finished part is computed again only if one of its videos "
        "was replaced since.",
        show_default=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(help="Column with the paths or addresses of the videos."),
]
PartSize = Annotated[
    int,
    typer.Option(
        help="Rows per part. A part is one worker's task and is written as a whole; "
        "use 100 for slow models or few videos.",
        min=1,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        help="Parallel jobs; -1 for all cores. Default: 1, or with --cluster as many "
        "as it has room for.",
    ),
]
Engine = Annotated[
    EngineName | None,
    typer.Option(
        help="ray: Ray Data, one actor per GPU or core, on a Ray that runs here or is "
        "started; dask: with --cluster. Default: as --cluster and --jobs say.",
        metavar=options.listed(ENGINES),
    ),
]
OverwriteRun = Annotated[
    bool,
    typer.Option("--overwrite", help="Delete the results of another run in --out."),
]


def batch(
    paths: ModelThenTable,
    out: Out,
    models: options.Models = None,
    column: Column = None,
    encoding: options.Encoding = None,
    part_size: PartSize = 1000,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    no_doubts: options.NoDoubts = False,
    cascade: options.Cascade = None,
    store: options.StorePath = None,
    device: options.Device = None,
    engine: Engine = None,
    jobs: Jobs = None,
    cluster: options.Cluster = None,
    overwrite: OverwriteRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Score a table of any number of videos into a folder of parquet files.

    A row for each row of the table, in its order, with its columns; in bounded memory.
    Run it again to go on where it was stopped.
    """
    from joblib import parallel_config

    asked = cascade_asked(cascade)
    models, tables = models_and_videos(paths, models)
    if len(tables) != 1:
        raise typer.BadParameter(
            f"expected one table of videos; got {len(tables)}. For videos and folders "
            "there is predict"
        )
    engine_name = None if engine is None else engine.value
    _check(tables[0], out, engine_name, cluster, column, encoding)
    loaded = open_ensemble(models, device, quiet, threshold, prior)
    if store is not None:
        loaded.set_params(store=store)
    loaded.set_params(**asked)
    side_by_side = nullcontext() if jobs is None else parallel_config(n_jobs=jobs)
    with on_cluster(cluster), side_by_side:
        done = loaded.judge_table(
            tables[0],
            out,
            engine_name,
            column=column,
            part_size=part_size,
            doubts=not no_doubts,
            overwrite=overwrite,
            encoding=encoding,
            isolation=current_limits().isolation,
        )
    typer.echo(f"{public_name(done.output)}: {done}")
    say_grounds(loaded, quiet)
    say_cascade(loaded, not no_doubts, quiet)
    say_unscorable(
        done.n_unscorable, done.n_rows,
        'their rows have the status "unscorable", and the reason',
    )  # fmt: skip
    if done.n_unscorable:
        raise typer.Exit(SOME_UNSCORABLE)


def _check(table, out, engine, cluster, column, encoding):
    """Find mistakes in seconds, before a model is opened and a cluster started."""
    from base_models.batch.run import check_run

    on_ray = cluster is not None and cluster.startswith("ray:")
    if cluster is not None and engine is not None and on_ray != (engine == "ray"):
        raise typer.BadParameter(
            f"--engine {engine} does not run on --cluster {cluster}; leave one out"
        )
    # where there is a cluster, Dask is asked for once it is connected
    n_rows = check_run(table, out, None if cluster else engine, column, encoding)
    if n_rows == 0:
        typer.echo(f"note: {public_name(table)} has no rows", err=True)
