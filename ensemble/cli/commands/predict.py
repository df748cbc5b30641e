"""``predict``: one line, or row, a video."""

import sys
from typing import Annotated

import typer

from ensemble.choices import UNSCORABLE
from ensemble.cli import options
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import models_and_videos, open_ensemble, videos_at
from ensemble.cli.output import VerdictStream, say_grounds

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble predict model.dfe clip.mp4\n\n"
    "  deepfake-ensemble predict model.dfe videos/ --csv > verdicts.csv\n\n"
    "  deepfake-ensemble predict clip.mp4 --model full_c23.p --model all_c23.p"
)


def predict(
    paths: options.ModelThenVideos,
    models: options.Models = None,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    no_doubts: options.NoDoubts = False,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Say of each video how likely it is fake: one line a video."""
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two formats; choose one")
    models, given = models_and_videos(paths, models)
    videos = videos_at(given, kind.value, split)
    # On a terminal the lines show how far it is; a bar between them would tear them.
    no_bar = quiet or sys.stdout.isatty()
    loaded = open_ensemble(models, device, no_bar, threshold, prior)
    form = "csv" if as_csv else "json" if as_json else "lines"
    with VerdictStream(form, videos) as stream:
        for table in loaded.judge_each(videos, doubts=not no_doubts):
            stream.add(table)
    say_grounds(loaded, quiet)
    if UNSCORABLE in stream.statuses:
        raise typer.Exit(SOME_UNSCORABLE)
