"""``predict``: one line, or row, a video."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ensemble.choices import UNSCORABLE
from ensemble.cli import options
from ensemble.cli.clusters import on_cluster
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import models_and_videos, open_ensemble, videos_at
from ensemble.cli.output import (
    VerdictStream,
    cascade_asked,
    say_cascade,
    say_grounds,
    say_unscorable,
    write_csv,
)

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble predict model.dfe clip.mp4\n\n"
    "  deepfake-ensemble predict model.dfe videos/ --csv > verdicts.csv\n\n"
    "  deepfake-ensemble predict clip.mp4 --model full_c23.p --model all_c23.p\n\n"
    "  deepfake-ensemble predict model.dfe test_videos/ --submission submission.csv "
    "--clip 0.4,0.8"
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
    cascade: options.Cascade = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="CSV to write for Kaggle's DFDC: filename,label. A video without a "
            "score gets 0.5 there, and only there."
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(help="0.4,0.8: the lowest and highest label of the submission."),
    ] = None,
    store: options.StorePath = None,
    device: options.Device = None,
    cluster: options.Cluster = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Print how likely each video is fake, one line per video."""
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two formats; choose one")
    if clip is not None and submission is None:
        raise typer.BadParameter("--clip is of --submission, which was not given")
    in_turn = cascade_asked(cascade)
    models, given = models_and_videos(paths, models)
    videos, lists = videos_at(given, kind.value, split)
    asked = _Submission(submission, clip, videos, [*models, *given, *lists], overwrite)
    # On a terminal the lines show how far it is; a bar between them would tear them.
    no_bar = quiet or sys.stdout.isatty()
    loaded = open_ensemble(models, device, no_bar, threshold, prior)
    if store is not None:
        loaded.set_params(store=store)
    loaded.set_params(**in_turn)
    form = "csv" if as_csv else "json" if as_json else "lines"
    with on_cluster(cluster), VerdictStream(form, videos) as stream:
        for table in loaded.judge_each(videos, doubts=not no_doubts):
            stream.add(table)
            asked.add(table)
    asked.write()
    say_grounds(loaded, quiet)
    say_cascade(loaded, not no_doubts, quiet)
    n_unscorable = stream.statuses.count(UNSCORABLE)
    say_unscorable(
        n_unscorable, len(videos), "their rows say unscorable, and the reason"
    )
    if n_unscorable:
        raise typer.Exit(SOME_UNSCORABLE)


class _Submission:
    """Gathers P(fake) for a submission, which is written at the end if it was asked."""

    def __init__(
        self,
        path: Path | None,
        clip: str | None,
        videos: Sequence[str],
        inputs: Sequence[Path],
        overwrite: bool,
    ) -> None:
        self._path, self._videos, self._scores = path, videos, []
        if path is None:
            return
        from ensemble.reporting.outputs import Output, check_outputs
        from ensemble.reporting.submission import parse_clip, submission_table

        self._clip = (0.0, 1.0) if clip is None else parse_clip(clip)
        check_outputs([Output("--submission", path, "csv")], inputs, overwrite)
        submission_table(videos, [0.5] * len(videos))  # names that are there twice

    def add(self, table) -> None:
        # With unscorable="prior" P(fake) is a number that no member gave.
        from ensemble.verdicts.suspicion import column_in

        scored = table["status"] != UNSCORABLE
        self._scores += table[column_in(table)].where(scored).tolist()

    def write(self) -> None:
        if self._path is None:
            return
        from ensemble.reporting.submission import submission_table

        table, missing = submission_table(self._videos, self._scores, self._clip)
        write_csv(self._path, table, index=False)
        if missing:
            typer.echo(
                f"{self._path}: {len(missing)} of {len(table)} videos have no score "
                "and got 0.5, in this file alone: "
                + ", ".join(missing[:5])
                + (", ..." if len(missing) > 5 else ""),
                err=True,
            )
