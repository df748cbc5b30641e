"""``scan``: all that is known of each video, with pictures of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.choices import UNSCORABLE
from ensemble.cli import options
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import open_ensemble, videos_at
from ensemble.cli.output import (
    Writings,
    cascade_asked,
    free_name,
    is_printed,
    say_cascade,
    say_grounds,
    say_unscorable,
    write_csv,
    write_json,
)

if TYPE_CHECKING:
    from ensemble.deepfake_ensemble import DeepfakeEnsemble
    from ensemble.inspection.outputs import PlannedOutputs
    from ensemble.inspection.scan import ScanResult

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble scan clip.mp4 --model model.dfe --timeline timeline.png\n\n"
    "  deepfake-ensemble scan videos/ --model model.dfe --csv verdicts.csv "
    "--annotate 'seen/{stem}.mp4'\n\n"
    "  deepfake-ensemble scan clip.mp4 --model model.dfe --evidence evidence.html\n\n"
    "  deepfake-ensemble scan clip.mp4 --model full_c23.p --model all_c23.p\n\n"
    "With several videos a picture, video or page is named by a folder, by {stem}, or "
    "gets the video's stem before its ending. --json - and --csv - print."
)


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write all results, every frame.")
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", help="Write one row per face, or per video.")
]
Timeline = Annotated[
    str | None,
    typer.Option(help="Write a plot of scores over time: .png, .svg, .pdf."),
]
Annotate = Annotated[
    str | None, typer.Option(help="Write the video with boxes and scores: .mp4.")
]
Evidence = Annotated[
    str | None,
    typer.Option(help="Write a page with the evidence, in pictures: .html."),
]
Cascade = Annotated[
    str | None,
    typer.Option(
        help="Ask members in turn, as --cascade of predict does; those that are not "
        "asked show nothing. Default: all are asked.",
        metavar="exact|SHARE",
    ),
]


def scan(
    videos: options.Videos,
    models: options.NeededModels,
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    timeline: Timeline = None,
    annotate: Annotate = None,
    evidence: Evidence = None,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    no_doubts: options.NoDoubts = False,
    cascade: Cascade = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Inspect videos in detail: verdict, scores per face and frame, evidence."""
    from ensemble.inspection.outputs import planned_outputs
    from ensemble.reporting.outputs import tables_of

    paths, lists = videos_at(videos, kind.value, split)
    pictures = {"timeline": timeline, "annotate": annotate, "evidence": evidence}
    tables = tables_of("scan", csv_file, json_file)
    outputs = planned_outputs(pictures, paths, [*models, *lists], tables, overwrite)
    in_turn = cascade_asked(cascade)
    loaded = open_ensemble(models, device, quiet, threshold, prior)
    loaded.set_params(**in_turn)
    settings = {"doubts": not no_doubts, "cascade": bool(in_turn)}
    err = is_printed(json_file, csv_file)
    results, lost = [], []
    try:
        for result in _scan_each(loaded, paths, outputs, settings, err, lost):
            results.append(result)
    except BaseException:
        _keep_unfinished(results, len(paths), json_file, csv_file)
        raise
    _write_tables(results, json_file, csv_file)
    say_grounds(loaded, quiet)
    if in_turn:
        say_cascade(loaded, not no_doubts, quiet, by_frames=False)
    n_unscorable = sum(result.status == UNSCORABLE for result in results)
    say_unscorable(n_unscorable, len(results), "above, each with its reason")
    if n_unscorable or lost:
        raise typer.Exit(SOME_UNSCORABLE)


def _scan_each(
    model: "DeepfakeEnsemble",
    paths: Sequence[str],
    outputs: "Sequence[PlannedOutputs]",
    settings: dict[str, bool],
    err: bool,
    lost: list[str],
) -> "Iterator[ScanResult]":
    """Scan videos, write what is planned of each, show it; one that fails is a row.

    To `lost` are added the reasons why something that was asked for is not written.
    """
    from base_models.runtime.failures import Failures
    from ensemble.cli.tables import show_scan
    from ensemble.inspection.scan import failed_scan, scan_video

    failures = Failures()
    for path, planned in zip(paths, outputs, strict=True):
        written = not_written = ()
        try:
            result = scan_video(model, path, **settings)
        except Exception as error:
            result = failed_scan(model, path, failures.reason(error))
        else:
            failures.note(None)
            written, not_written = planned.write(result)
            lost += not_written
        show_scan(result, written, not_written, err=err)
        yield result.without_pixels()
    failures.check()


def _write_tables(
    results: "Sequence[ScanResult]", json_file: Path | None, csv_file: Path | None
) -> None:
    from ensemble.inspection.scan import scans_table

    writings = Writings()
    found = [result.to_dict() for result in results]
    writings.attempt(write_json, json_file, found)
    if results:
        writings.attempt(write_csv, csv_file, scans_table(results), index=False)
    writings.check()


def _keep_unfinished(
    results: "Sequence[ScanResult]",
    n_videos: int,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Write what a run that ends early has found under names that say so."""
    files = [
        None if path is None or is_printed(path) else free_name(path, "stopped")
        for path in (json_file, csv_file)
    ]
    if results and any(files):
        _write_tables(results, *files)
        names = " and ".join(str(path) for path in files if path is not None)
        typer.echo(
            f"{len(results)} of {n_videos} videos had been scanned: {names}", err=True
        )
