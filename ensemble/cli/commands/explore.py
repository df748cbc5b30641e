"""``explore``: what is in a data set, what is missing, and what leaks."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.commands.index import NoFaces, Root, table_to_show
from ensemble.cli.output import is_printed, write_text

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble explore dfdc/ --out dfdc.html\n\n"
    "  deepfake-ensemble explore dfdc/ --out dfdc.html --embed --csv tables/\n\n"
    "  deepfake-ensemble explore dfdc.parquet    (of index: no video is opened)"
)

PageFile = Annotated[
    Path | None, typer.Option("--out", "-o", help="HTML page to write.")
]
Embed = Annotated[
    bool,
    typer.Option(
        "--embed",
        help="Embed clips in the page, so that they play there; else it shows "
        "pictures that link to the files.",
    ),
]
TablesFolder = Annotated[
    Path | None, typer.Option("--csv", help="Folder for the tables, one CSV each.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write all tables as JSON; - prints it.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Parallel jobs; -1 for all cores.")
]


def explore(
    data: Root,
    out: PageFile = None,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    embed: Embed = False,
    csv_folder: TablesFolder = None,
    json_file: JsonFile = None,
    no_faces: NoFaces = False,
    jobs: Jobs = 1,
    seed: options.Seed = 0,
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    store: options.StorePath = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what a data set contains, what is missing, and what leaks."""
    from ensemble.cli.data_tables import show_exploration
    from ensemble.datasets.exploring.explore import TABLES, explore as explored
    from ensemble.reporting.outputs import (
        Output,
        check_outputs,
        check_tables,
    )

    if embed and out is None:
        raise typer.BadParameter("--embed is for a page: give --out")
    table = table_to_show(data, kind, split, fake_label, encoding, quiet)
    planned = []
    if out is not None:
        planned.append(Output("--out", out, "html", ("explore",)))
    if json_file is not None:
        planned.append(Output("--json", json_file, "json", ("summary", "files")))
    if csv_folder is not None:
        planned.append(Output("--csv", csv_folder, "folder"))
    inputs = [*table.lists, *table.videos]
    check_outputs(planned, inputs, overwrite, store)
    if csv_folder is not None:
        check_tables("--csv", csv_folder, TABLES, inputs, overwrite)
    finder = None if no_faces else "dlib"
    root = data if data.is_dir() else None
    found = explored(table, root, jobs, finder, store, verbose=not quiet)
    written = [path for path in (out, csv_folder, json_file) if path is not None]
    if out is not None:
        found.to_html(out, embed, seed)
    if csv_folder is not None:
        found.to_csv(csv_folder)
    show_exploration(found, written, err=is_printed(json_file))
    if json_file is not None:
        write_text(json_file, found.as_json())
