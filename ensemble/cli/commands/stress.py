"""``stress``: what scores do when videos are compressed, shrunk, blurred ..."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import models_and_videos, open_ensemble, split_names, videos_at
from ensemble.cli.output import Writings, is_printed, say_grounds, write_csv, write_text

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble stress model.dfe clip.mp4 --plot drift.png\n\n"
    "  deepfake-ensemble stress model.dfe videos.csv --changes h264,jpeg    "
    "(path,label[,group]: with AUC)"
)

LabelledOrNot = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL VIDEOS",
        help="The model, unless --model gives it; then videos, or folders of them; "
        "labelled, for the AUC: the root of one data set, one folder with real/ and "
        "fake/, or CSV with path,label[,group].",
        readable=False,  # one that is not costs itself alone
        show_default=False,
    ),
]
Changes = Annotated[
    str,
    typer.Option(
        help="all, or some of: h264, jpeg, downscale, blur, noise, fps, darker, "
        "brighter."
    ),
]
Plot = Annotated[Path | None, typer.Option(help="Plot to write: .png, .svg, .pdf.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the table as JSON; - prints it.")
]
ScoresFile = Annotated[
    Path | None,
    typer.Option(
        "--scores",
        help="CSV of every score, written video by video; a stopped run continues "
        "from it.",
    ),
]
Seconds = Annotated[
    float, typer.Option(help="Use this many seconds of each video.", min=0.1)
]


def stress(
    paths: LabelledOrNot,
    models: options.Models = None,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    changes: Changes = "all",
    plot: Plot = None,
    csv_file: options.TableFile = None,
    json_file: JsonFile = None,
    scores_file: ScoresFile = None,
    seconds: Seconds = 10.0,
    encoding: options.Encoding = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how scores change if videos are compressed, shrunk, blurred ..."""
    from ensemble import stress_test
    from ensemble.cli.tables import show_stress
    from ensemble.reporting.outputs import Output, check_outputs, tables_of
    from ensemble.reporting.own_files import SCORES

    models, videos = models_and_videos(paths, models)
    paths, labels, groups, lists = _videos_and_labels(
        videos, kind.value, split, encoding, quiet
    )
    outputs = tables_of("stress", csv_file, json_file)
    if plot is not None:
        outputs.append(Output("--plot", plot, "plot", ("stress",)))
    if scores_file is not None:
        outputs.append(Output("--scores", scores_file, "csv", SCORES))
    check_outputs(outputs, [*models, *paths, *lists], overwrite)
    loaded = open_ensemble(models, device, quiet=True)
    result = stress_test(
        loaded,
        paths,
        labels,
        groups,
        changes=None if changes == "all" else split_names(changes),
        seconds=seconds,
        random_state=seed,
        scores_file=scores_file,
        verbose=not quiet,
    )
    writings = Writings()
    if plot is not None and not writings.attempt(result.plot, plot):
        plot = None
    show_stress(result, plot, err=is_printed(csv_file, json_file))
    writings.attempt(write_csv, csv_file, result.table, index=False)
    as_json = result.table.to_json(orient="records", indent=1) + "\n"
    writings.attempt(write_text, json_file, as_json)
    writings.check()
    say_grounds(loaded, quiet=True)
    if result.reasons:
        raise typer.Exit(SOME_UNSCORABLE)


def _videos_and_labels(
    videos: list[Path], kind: str, split: str | None, encoding: str | None, quiet: bool
) -> tuple[list, list | None, list | None, Sequence[Path]]:
    from ensemble.cli.inputs import data_set_at
    from ensemble.datasets.loading import is_labelled

    if len(videos) == 1 and (kind != "auto" or split or is_labelled(videos[0])):
        table = data_set_at(
            videos[0], kind, split, duplicates="warn", encoding=encoding, quiet=quiet
        )
        labelled = table.subset(labelled=True)
        paths, labels, groups = labelled if len(labelled) else table
        return paths, labels if len(labelled) else None, groups, table.lists
    paths, lists = videos_at(videos, kind, split)
    return paths, None, None, lists
