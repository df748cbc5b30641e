"""The command line: what the library does, for people at a terminal."""

import json
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.errors import explain, in_options, options_of, taking_debug
from ensemble.cli.streams import write_out, write_what_can_be_written

DONE, SOME_UNSCORABLE, DRIFTED, FATAL, STOPPED = 0, 1, 1, 2, 130

# Click's ClickException, of the copy of click that this typer uses.
_UsageError = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="deepfake-ensemble",
    help="Ensembles of deepfake video detectors: trained apart, scored out of fold, "
    "combined honestly.",
    epilog="Exit codes: 0 done; 1 some videos could not be scored, or a model has "
    "drifted; 2 usage or error; 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class StrategyName(str, Enum):
    """How the training videos are used, and what combines the scores."""

    voting = "voting"
    bagging = "bagging"
    blending = "blending"
    stacking = "stacking"


class TrainName(str, Enum):
    """How much of a network is trained."""

    full = "full"
    last_stage = "last_stage"
    head = "head"


class ProtocolName(str, Enum):
    """What is held out while strategies are fitted: see `compare_strategies`."""

    group_kfold = "group-kfold"
    group_holdout = "group-holdout"
    leave_method_out = "leave-method-out"
    leave_source_out = "leave-source-out"
    leave_dataset_out = "leave-dataset-out"
    time_holdout = "time-holdout"


class NestingName(str, Enum):
    """How strictly what is judged is kept apart."""

    stored = "stored"
    exact = "exact"


class FacesPoolingName(str, Enum):
    """Which face decides about a video with several."""

    largest = "largest"
    worst = "worst"
    mean = "mean"


class ScopeName(str, Enum):
    """What a checkpoint's network looks at."""

    frame = "frame"
    face = "face"
    crop = "crop"


class CompressionName(str, Enum):
    """What `load_checkpoint` takes."""

    raw = "raw"
    c23 = "c23"
    c40 = "c40"


Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Fits side by side; -1 for all cores.")
]
Seed = Annotated[
    int, typer.Option(help="Seed of everything random.", min=0, max=2**32 - 1)
]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="0.5, fpr=0.05, cost=10 (a false alarm costs ten misses; cost=1:10 the "
        "other way round) or three-way, set on the out-of-fold scores that the model "
        "keeps; the model's own if not given."
    ),
]
Prior = Annotated[
    float | None,
    typer.Option(help="Share of fakes among such videos, to correct P(fake) for it."),
]
Backbones = Annotated[str, typer.Option(help="Networks, by comma.")]
Views = Annotated[str, typer.Option(help="frame, face, crop, by comma.")]
Train = Annotated[
    TrainName, typer.Option(help="All of each network, or a head on frozen features.")
]
Weights = Annotated[
    str, typer.Option(help="imagenet, none (random), or a file of weights.")
]
ImageSize = Annotated[
    int | None, typer.Option(help="Pixels; the network's own if not given.")
]
Frames = Annotated[int, typer.Option(help="Frames sampled per video.", min=1)]
Epochs = Annotated[int, typer.Option(help="Passes over the videos.", min=1)]
StorePath = Annotated[Path | None, typer.Option(help="Where computed things are kept.")]


def _device_there(device):
    """Refuse a device that is not there, before anything is opened."""
    from base_models.runtime.devices import resolve_device

    if device is not None:
        try:
            resolve_device(device)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return device


Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, ...", callback=_device_there)
]
FakeLabel = Annotated[
    str | None,
    typer.Option(help="Which label means fake, where it is not 0/1, REAL/FAKE ..."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Of the table: utf-8, cp949, cp1252 ...; found out if it can be."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files that this command did not write; never what it reads.",
    ),
]
NoDoubts = Annotated[
    bool,
    typer.Option(
        "--no-doubts",
        help="FAKE or REAL by the threshold alone, also where doubts would make it "
        "UNSURE; they are listed either way.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
    debug: Annotated[  # taken by `main`, after any command as well
        bool, typer.Option("--debug", help="Show where an error came from.")
    ] = False,
):
    if version:
        from ensemble import __version__

        typer.echo(f"deepfake-ensemble {__version__}")
        raise typer.Exit(DONE)


@app.command(
    epilog="Example:\n\n  deepfake-ensemble demo --out demo\n\n"
    "Takes a few minutes on two CPU cores; a second run finds what the first computed."
)
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for clips, model and tables.")
    ] = Path("demo"),
    identities: Annotated[
        int, typer.Option(help="People to forge from, an even number.", min=16, max=100)
    ] = 100,
    seed: Seed = 0,
    jobs: Jobs = -1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Forge clips, fit all four strategies, judge them on people nobody has seen."""
    from ensemble.cli.demo import run_demo
    from ensemble.cli.tables import show_demo
    from ensemble.reporting.outputs import check_demo

    check_demo(out, overwrite)
    result = run_demo(
        out,
        n_identities=identities,
        random_state=seed,
        n_jobs=jobs,
        verbose=not quiet,
        say=lambda text: typer.echo(text, err=True),
    )
    show_demo(result)


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble fit videos/ --out model.dfe    (videos/real, videos/fake)\n\n"
    "  deepfake-ensemble fit videos.csv --out model.dfe --strategy voting\n\n"
    "  deepfake-ensemble fit videos.csv --out model.dfe --backbones efficientnet_lite0 "
    "--image-size 128 --epochs 5"
)
def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with real/ and fake/, or CSV with path,label[,group].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write.", show_default=False)
    ],
    strategy: Annotated[StrategyName, typer.Option(help="See the README.")] = (
        StrategyName.stacking
    ),
    combiner: Annotated[
        str | None,
        typer.Option(
            help="Overrides the strategy's: soft, hard, log_odds, lightgbm ..."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Number of folds, in place of the strategy's.", min=2),
    ] = None,
    backbones: Backbones = "xception,efficientnet,resnet",
    views: Views = "frame,face",
    train: Train = TrainName.full,
    weights: Weights = "imagenet",
    image_size: ImageSize = None,
    n_frames: Frames = 16,
    epochs: Epochs = 10,
    faces_pooling: Annotated[
        FacesPoolingName,
        typer.Option(
            help="What decides about a video of several people: the largest face, the "
            "one that looks most like a forgery, or the mean of all."
        ),
    ] = FacesPoolingName.largest,
    store: StorePath = None,
    device: Device = None,
    fake_label: FakeLabel = None,
    encoding: Encoding = None,
    describe: Annotated[
        str,
        typer.Option(help="What the videos are, in a word; shown beside each verdict."),
    ] = "",
    seed: Seed = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Train an ensemble on labelled videos and save it."""
    from base_models.inputs import label_as_given
    from ensemble import DeepfakeEnsemble
    from ensemble.cli.tables import show_fit
    from ensemble.datasets import read_videos
    from ensemble.reporting.outputs import Output, check_folder, check_outputs, table_of

    videos, labels, groups, _ = read_videos(data, encoding)
    _check_there(videos, data)
    check_folder("--store", store)
    read = [*table_of(data), *videos, weights]
    check_outputs([Output("--out", out, "model")], read, overwrite)
    detectors = _detectors(
        backbones, views, train, weights, image_size, n_frames, epochs
    )
    model = DeepfakeEnsemble(
        detectors,
        strategy=strategy.value,
        combiner=combiner,
        resampling=folds,
        fake_label=label_as_given(fake_label, labels),
        random_state=seed,
        n_jobs=jobs,
        store=store,
        device=device,
        verbose=not quiet,
        faces_pooling=faces_pooling.value,
    )
    model.fit(videos, labels, groups=groups).describe(describe)
    model.save(out)
    show_fit(model, out)


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble predict model.dfe clip.mp4\n\n"
    "  deepfake-ensemble predict model.dfe videos/ --csv > verdicts.csv"
)
def predict(
    model: Annotated[
        Path, typer.Argument(help="File that fit or demo wrote.", show_default=False)
    ],
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, or folders of them.", show_default=False),
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threshold: Threshold = None,
    prior: Prior = None,
    no_doubts: NoDoubts = False,
    device: Device = None,
    quiet: Quiet = False,
):
    """Say of each video how likely it is fake: one line a video."""
    from ensemble.cli.streams import VerdictStream

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are two formats; choose one")
    paths = _videos_at(videos)
    # On a terminal the lines show how far it is; a bar between them would tear them.
    no_bar = quiet or sys.stdout.isatty()
    loaded = _opened(model, device, no_bar, threshold, prior)
    form = "csv" if as_csv else "json" if as_json else "lines"
    with VerdictStream(form, paths) as stream:
        for table in loaded.judge_each(paths, doubts=not no_doubts):
            stream.add(table)
    _say_grounds(loaded, quiet)
    if "unscorable" in stream.statuses:
        raise typer.Exit(SOME_UNSCORABLE)


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble scan clip.mp4 --model model.dfe --timeline timeline.png\n\n"
    "  deepfake-ensemble scan videos/ --model model.dfe --csv verdicts.csv "
    "--annotate 'seen/{stem}.mp4'\n\n"
    "  deepfake-ensemble scan clip.mp4 --model model.dfe --evidence evidence.html\n\n"
    "With several videos a picture, video or page is named by a folder, by {stem}, or "
    "gets the video's stem before its ending. --json - and --csv - print."
)
def scan(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, or folders of them.", show_default=False),
    ],
    model: Annotated[
        Path,
        typer.Option(
            "--model", "-m", help="File that fit or demo wrote.", show_default=False
        ),
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="All that was found, every frame.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="One row a face, or a video.")
    ] = None,
    timeline: Annotated[
        str | None, typer.Option(help="Plot of frame scores: .png, .svg, .pdf.")
    ] = None,
    annotate: Annotated[
        str | None, typer.Option(help="The video with boxes and scores: .mp4.")
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(help="Page of what speaks for the verdict, with pictures: .html."),
    ] = None,
    threshold: Threshold = None,
    prior: Prior = None,
    no_doubts: NoDoubts = False,
    device: Device = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Look closely at videos: verdict, faces, frames, and what they stand on."""
    from base_models.runtime.failures import Failures
    from ensemble.cli.tables import show_scan
    from ensemble.inspection.scan import failed_scan, scan_video, scans_table
    from ensemble.inspection.scan_files import planned_outputs
    from ensemble.reporting.outputs import tables_of

    paths = _videos_at(videos)
    asked = {"timeline": timeline, "annotate": annotate, "evidence": evidence}
    tables = tables_of("scan", csv_file, json_file)
    outputs = planned_outputs(asked, paths, [model], tables, overwrite)
    loaded = _opened(model, device, quiet, threshold, prior)
    results, failures = [], Failures()
    try:
        for path, planned in zip(paths, outputs, strict=True):
            written = left = ()
            try:
                result = scan_video(loaded, path, doubts=not no_doubts)
            except Exception as error:
                result = failed_scan(loaded, path, failures.reason(error))
            else:
                failures.note(None)
                written, left = planned.write(result)
            show_scan(result, written, left, err="-" in map(str, (json_file, csv_file)))
            results.append(result.without_pixels())
    finally:  # of a run that is stopped there is what it found so far
        if json_file is not None:
            found = [result.to_dict() for result in results]
            _write_text(json_file, json.dumps(found, indent=1) + "\n")
        if csv_file is not None and results:
            _write_text(
                csv_file, scans_table(results).to_csv(index=False, lineterminator="\n")
            )
    failures.check()
    _say_grounds(loaded, quiet)
    if any(result.status == "unscorable" for result in results):
        raise typer.Exit(SOME_UNSCORABLE)


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble stress model.dfe clip.mp4 --plot drift.png\n\n"
    "  deepfake-ensemble stress model.dfe videos.csv --changes h264,jpeg    "
    "(path,label[,group]: with AUC)"
)
def stress(
    model: Annotated[
        Path, typer.Argument(help="File that fit or demo wrote.", show_default=False)
    ],
    videos: Annotated[
        list[Path],
        typer.Argument(
            help="Videos, or folders of them; labelled, for the AUC: one folder with "
            "real/ and fake/, or CSV with path,label[,group].",
            show_default=False,
        ),
    ],
    changes: Annotated[
        str,
        typer.Option(
            help="all, or by comma: h264, jpeg, downscale, blur, noise, fps, darker, "
            "brighter."
        ),
    ] = "all",
    plot: Annotated[
        Path | None, typer.Option(help="Plot to write: .png, .svg, .pdf.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="The table; - prints it.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="The same as JSON; - prints it.")
    ] = None,
    scores_file: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            help="CSV of every score, added to video by video; a run that was stopped "
            "goes on from it.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Of each video, from its beginning.", min=0.1)
    ] = 10.0,
    encoding: Encoding = None,
    seed: Seed = 0,
    device: Device = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """See what becomes of scores when videos are compressed, shrunk, blurred ..."""
    from ensemble import stress_test
    from ensemble.cli.tables import show_stress
    from ensemble.datasets import read_videos
    from ensemble.datasets.files import is_labelled
    from ensemble.reporting.outputs import (
        SCORES,
        Output,
        check_outputs,
        table_of,
        tables_of,
    )

    labels = groups = None
    if len(videos) == 1 and is_labelled(videos[0]):
        paths, labels, groups, _ = read_videos(videos[0], encoding)
    else:
        paths = _videos_at(videos)
    asked = tables_of("stress", csv_file, json_file)
    if plot is not None:
        asked.append(Output("--plot", plot, "plot"))
    if scores_file is not None:
        asked.append(Output("--scores", scores_file, "csv", SCORES))
    read = [model, *paths, *(part for path in videos for part in table_of(path))]
    check_outputs(asked, read, overwrite)
    loaded = _opened(model, device, True)
    found = stress_test(
        loaded,
        paths,
        labels,
        groups,
        changes=None if changes == "all" else _names(changes),
        seconds=seconds,
        random_state=seed,
        scores_file=scores_file,
        verbose=not quiet,
    )
    if plot is not None:
        found.plot(plot)
    show_stress(found, plot, err="-" in map(str, (csv_file, json_file)))
    if csv_file is not None:
        _write_text(csv_file, found.table.to_csv(index=False, lineterminator="\n"))
    if json_file is not None:
        _write_text(json_file, found.table.to_json(orient="records", indent=1) + "\n")
    _say_grounds(loaded, quiet=True)
    if found.reasons:
        raise typer.Exit(SOME_UNSCORABLE)


@app.command(
    epilog="Examples:\n\n"
    '  deepfake-ensemble compare scores.csv --scores "p_*" --report report.html\n\n'
    '  deepfake-ensemble compare scores.csv --scores "p_*" --label label --group group '
    "--method method --protocol leave-method-out --report report.html\n\n"
    "  deepfake-ensemble compare videos/ --backbones efficientnet_lite0 --train head "
    "--report report.html    (videos/real, videos/fake)"
)
def compare(
    data: Annotated[
        Path,
        typer.Argument(
            help="Table of scores (.csv, .parquet), one row a video; or videos: a "
            "folder with real/ and fake/, or CSV with path,label[,group].",
            show_default=False,
        ),
    ],
    report: Annotated[
        Path | None, typer.Option(help="Page to write: one .html file.")
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(help="Columns of P(fake): a pattern, or names by comma."),
    ] = None,
    as_videos: Annotated[
        bool, typer.Option("--videos", help="The table lists videos: train on them.")
    ] = False,
    label: Annotated[str | None, typer.Option(help="Column of labels.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of groups.")] = None,
    index: Annotated[
        str | None, typer.Option(help="Column of ids; paths give thumbnails.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Column of manipulation methods.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Column of sources.")] = None,
    compression: Annotated[
        str | None, typer.Option(help="Column of compression.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Column of data sets.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of times.")] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="Of times that are not like 2019-10-08, such as %d/%m/%Y."),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            help="For a table of frames, several rows a video: mean, median, max, "
            "logit_mean ..."
        ),
    ] = None,
    invert: Annotated[
        str | None,
        typer.Option(help="Columns that are high for real videos, by comma."),
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="On what strategies are judged.")
    ] = ProtocolName.group_kfold,
    nesting: Annotated[
        NestingName | None,
        typer.Option(
            help="exact: scores of detectors that were not fitted on these videos, or, "
            "from videos, more fits; stored: out-of-fold scores, slightly optimistic."
        ),
    ] = None,
    strategies: Annotated[
        str, typer.Option(help="all, or names by comma: soft, stacking, greedy ...")
    ] = "all",
    folds: Annotated[
        int | None,
        typer.Option(
            help="Group folds; without it those of an out-of-fold table, else 5.", min=2
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="How often they are drawn.", min=1)] = 1,
    draws: Annotated[
        int, typer.Option(help="Bootstrap draws behind each interval.", min=10)
    ] = 1000,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="The table; - prints it.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Table and verdict; - prints them.")
    ] = None,
    title: Annotated[
        str, typer.Option(help="Of the report.")
    ] = "Comparison of deepfake detectors",
    backbones: Backbones = "xception,efficientnet,resnet",
    views: Views = "frame,face",
    train: Train = TrainName.full,
    weights: Weights = "imagenet",
    image_size: ImageSize = None,
    n_frames: Frames = 16,
    epochs: Epochs = 10,
    store: StorePath = None,
    device: Device = None,
    fake_label: FakeLabel = None,
    encoding: Encoding = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Judge members and strategies on videos that they never learned from."""
    import pandas as pd

    from base_models.inputs import label_as_given
    from ensemble import compare_strategies
    from ensemble.cli.table_kinds import lists_videos, score_columns
    from ensemble.cli.tables import show_comparison
    from ensemble.datasets import read_videos
    from ensemble.reporting.outputs import (
        Output,
        check_folder,
        check_outputs,
        table_of,
        tables_of,
    )
    from ensemble.scores.columns import companion_columns, pool_table
    from ensemble.scores.files import read_scores
    from ensemble.scores.table import companions

    if as_videos and scores is not None:
        raise typer.BadParameter("--videos and --scores are two kinds; choose one")
    if scores is not None and data.is_dir():
        raise typer.BadParameter(
            f"--scores names columns of a table, and {data} is a folder; give the "
            "table, or leave --scores out to train on the folder's videos"
        )
    named = {"method": method, "source": source, "compression": compression,
             "dataset": dataset, "time": time}  # fmt: skip
    source_table = None if data.is_dir() else _table(data, encoding)
    metadata, given = None if source_table is None else source_table.frame, {}
    columns = [name for name in (*named.values(), label, group, index) if name]
    if scores is not None:
        as_videos = False
    elif metadata is None or as_videos or lists_videos(metadata, data, columns):
        as_videos = True
    if as_videos:
        if invert is not None:
            raise typer.BadParameter("--invert is for a table of scores, not videos")
        videos, y, groups, methods = read_videos(data, encoding)
        _check_there(videos, data)
        given = {"videos": videos, "y": y, "groups": groups, "device": device}
        if metadata is None and any(methods):
            metadata = pd.DataFrame({"method": methods})
        what = _detectors(
            backbones, views, train, weights, image_size, n_frames, epochs
        )
    else:
        wanted = _names(scores) if scores and "," in scores else scores
        if wanted is None and "path" in metadata:
            wanted, _ = score_columns(metadata, columns)
            if not {"video", "video_id"} & set(metadata):
                index = index or "path"
        columns = companion_columns(list(metadata), label, group, index)
        aside = set(named.values()) - set(columns.values())
        if pool is not None:
            source_table = pool_table(
                source_table, wanted, label, group, index, pool, aside
            )
            metadata = source_table.frame
        scored = metadata.drop(columns=[name for name in metadata if name in aside])
        scored = source_table._replace(frame=scored)
        turned = None if invert is None else _names(invert)
        what = read_scores(scored, wanted, label, group, index, invert=turned)
        y = companions(what)["label"].dropna().tolist()
    table = _described(metadata, named, data, time_format)
    asked = tables_of("compare", csv_file, json_file)
    if report is not None:
        asked.append(Output("--report", report, "html"))
    read = [*table_of(data), *given.get("videos", ()), weights]
    check_folder("--store", store)
    check_outputs(asked, read, overwrite)
    found = compare_strategies(
        what,
        strategies="all" if strategies == "all" else _names(strategies),
        metadata=table,
        protocol=protocol.value,
        nesting=None if nesting is None else nesting.value,
        n_folds=folds,
        repeats=repeats,
        n_boot=draws,
        random_state=seed,
        n_jobs=jobs,
        store=store,
        fake_label=label_as_given(fake_label, y),
        verbose=not quiet,
        **given,
    )
    if report is not None:
        found.to_html(report, title)
    show_comparison(found, report, err="-" in map(str, (json_file, csv_file)))
    if csv_file is not None:
        _write_text(
            csv_file, found.table.to_csv(index_label="strategy", lineterminator="\n")
        )
    if json_file is not None:
        _write_text(json_file, json.dumps(found.to_dict(), indent=1) + "\n")


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble convert full_c23.p full_c23/\n\n"
    "  deepfake-ensemble convert mine.pth mine/ --scope face --backbone resnet18"
)
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="A .p, .pth, .h5 or .safetensors file.")
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    scope: Annotated[
        ScopeName | None,
        typer.Option(help="Whole frames or face crops; told by published names."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Which network, where its weights do not tell.")
    ] = None,
    compression: Annotated[
        CompressionName | None,
        typer.Option(help="Of the videos it learned from; told by published names."),
    ] = None,
    fake_first: Annotated[
        bool, typer.Option("--fake-first", help="Its outputs are fake, real.")
    ] = False,
    overwrite: Overwrite = False,
):
    """Turn a checkpoint into safetensors and a JSON card; nothing in it is run."""
    from base_models import load_checkpoint
    from ensemble.reporting.outputs import check_converted

    check_converted(out_dir, checkpoint, overwrite)
    detector = load_checkpoint(
        checkpoint,
        scope=None if scope is None else scope.value,
        backbone=backbone,
        compression=None if compression is None else compression.value,
        classes=("fake", "real") if fake_first else None,
    )
    detector.save(out_dir)
    card = detector.card_
    typer.echo(
        f"{out_dir}: {card['backbone']} on {card['scope']}s, compression "
        f"{card['compression'] or 'unknown'}, trained on "
        f"{', '.join(card['trained_on'] or ['unknown data'])}, sha256 of the source "
        f"{card['source_sha256'][:12]}"
    )


@app.command(
    epilog="Examples:\n\n"
    "  deepfake-ensemble export model.dfe --onnx members/\n\n"
    "  deepfake-ensemble export full_c23/ --onnx full_c23.onnx --int8 --calibrate "
    "videos/"
)
def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="File that fit or demo wrote, folder that convert wrote, or a "
            "checkpoint.",
            show_default=False,
        ),
    ],
    onnx: Annotated[
        Path,
        typer.Option(
            help="Folder to write, or the .onnx file of a single network.",
            show_default=False,
        ),
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Write a version of 8 bits beside each.")
    ] = False,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Videos, or folders of them, for --int8: every other one sets ranges, "
            "the rest measure the drift. May be given several times."
        ),
    ] = None,
    overwrite: Overwrite = False,
):
    """Write each member's network to ONNX, preprocessing inside; checked by torch."""
    from base_models import export_onnx
    from ensemble.cli.tables import show_exported
    from ensemble.persistence.onnx_members import check_exported, export_members

    if calibrate and not int8:
        raise typer.BadParameter("--calibrate serves --int8, which was not given")
    videos = _videos_at(calibrate or [])
    check_exported(onnx, None, int8, [model, *videos], overwrite)
    loaded = _model_at(model)
    check_exported(onnx, loaded, int8, [model, *videos], overwrite)
    if onnx.suffix != ".onnx":
        cards, skipped = export_members(loaded, onnx, int8, videos)
        show_exported(cards, skipped, onnx)
        return
    if hasattr(loaded, "detectors_"):
        raise typer.BadParameter(
            f"{model} is an ensemble: --onnx must be a folder, not {onnx}"
        )
    card = export_onnx(loaded, onnx, int8, videos)
    show_exported({onnx.stem: card}, {}, onnx.parent)


@app.command(epilog="Example:\n\n  deepfake-ensemble verify full_c23/")
def verify(
    model: Annotated[
        Path, typer.Argument(help="A folder that convert wrote.", exists=True)
    ],
):
    """Score a converted checkpoint's fixtures again; leave with 1 if they drifted."""
    import ensemble

    detector = _model_at(model)
    if isinstance(detector, ensemble.DeepfakeEnsemble):
        raise typer.BadParameter(
            f"{model} is a saved ensemble, and whole: every part of it was compared "
            "with its checksum. verify is for the folders that convert wrote"
        )
    drift = detector.drift()
    if drift > detector.allowed_drift:
        typer.echo(
            f"{model}: P(fake) of a fixture differs by {drift:.2g} from its card, "
            f"more than {detector.allowed_drift:g}",
            err=True,
        )
        raise typer.Exit(DRIFTED)
    typer.echo(f"{model}: as it was (largest difference {drift:.1g})")


def main(arguments=None):
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : list of str or None, default=None
        None takes those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    arguments, debug = taking_debug(arguments)
    command = next((word for word in arguments if not word.startswith("-")), None)
    options = options_of(typer.main.get_command(app), command)
    warnings.showwarning = _warn_once(options)
    write_what_can_be_written(sys.stdout, sys.stderr)
    try:
        code = app(args=arguments, standalone_mode=False)
        if code == STOPPED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
    except _UsageError as error:
        error.show()
        code = FATAL
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("stopped; what was computed is kept and found again", err=True)
        code = STOPPED
    except Exception as error:
        typer.echo(explain(error, options, debug), err=True)
        code = FATAL
    sys.exit(code or DONE)


def _detectors(backbones, views, train, weights, image_size, n_frames, epochs):
    """The detectors that the options of fit and compare name."""
    from base_models import FrameDetector

    return [
        FrameDetector(
            backbone,
            view=view,
            train=train.value,
            weights=None if weights == "none" else weights,
            image_size=image_size,
            n_frames=n_frames,
            epochs=epochs,
        )
        for backbone in _names(backbones)
        for view in _names(views)
    ]


def _table(path, encoding):
    """A table as it is in its file."""
    from ensemble.scores.formats import TABLE_SUFFIXES, read_table

    if path.suffix.lower() not in TABLE_SUFFIXES:
        *most, last = TABLE_SUFFIXES
        raise typer.BadParameter(
            f"{path} is neither a folder nor a {', '.join(most)} or {last} file"
        )
    return read_table(path, encoding)


def _described(table, named, path, time_format=None):
    """The columns that describe videos, under the names that protocols know."""
    import pandas as pd

    from ensemble.scores.formats import column_named
    from ensemble.scores.times import parse_times

    if table is None:
        table = pd.DataFrame()
    found = {
        name: column_named(list(table), column or name)
        for name, column in named.items()
    }
    missing = [c for name, c in named.items() if c and found[name] is None]
    if missing:
        raise typer.BadParameter(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, table))}"
        )
    chosen = {
        name: table[column].where(table[column] != "", None)
        for name, column in found.items()
        if column is not None
    }
    if time_format is not None and "time" in chosen:
        chosen["time"] = parse_times(chosen["time"], time_format)
    return pd.DataFrame(chosen) if chosen else None


def _opened(model, device, quiet, threshold=None, prior=None):
    """Load an ensemble; set what was asked for, and refuse what it cannot do."""
    import ensemble
    from ensemble.decision.named_thresholds import check_prior, parse_threshold

    check_prior(prior)
    if threshold is not None:
        parse_threshold(threshold)
    loaded = ensemble.load(model, device=device)
    asked = {"threshold": threshold, "prior": prior}
    asked = {name: value for name, value in asked.items() if value is not None}
    loaded.set_params(verbose=not quiet, **asked)
    _ = loaded.thresholds_  # what it cannot do is told before any video is opened
    return loaded


def _say_grounds(loaded, quiet):
    """Say what verdicts stand on; of that, whoever is quiet sees the card alone."""
    from ensemble.decision.named_thresholds import grounds

    for sentence in [loaded.card_.summary()] if quiet else grounds(loaded):
        typer.echo(sentence, err=True)


def _check_there(videos, data):
    """Refuse a list that names files which are not there, before any work."""
    lost = [video for video in videos if not Path(video).exists()]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ValueError(
            f"{data} names {len(lost)} of {len(videos)} videos that are not there: "
            f"{', '.join(lost[:3])}{more}; mend the paths, or take these lines out"
        )


def _model_at(path):
    """Load an ensemble, or a checkpoint as a detector."""
    import zipfile

    import ensemble
    from base_models import load_checkpoint

    if zipfile.is_zipfile(path):  # PyTorch's checkpoints are archives too
        with zipfile.ZipFile(path) as archive:
            if "manifest.json" in archive.namelist():
                return ensemble.load(path, device="cpu")
    return load_checkpoint(path, device="cpu")


def _write_text(path, text):
    from base_models.runtime.file_writing import write_text

    if str(path) == "-":
        write_out(text)
        return
    write_text(path, text)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _videos_at(paths):
    """Replace folders by the videos in them; a folder of frame images is a video."""
    from base_models.video.paths import list_videos

    found = []
    for path in paths:
        inside = [str(video) for video in list_videos(path)] if _is_folder(path) else []
        found += inside or [str(path)]
    return found


def _is_folder(path):
    try:
        return path.is_dir()
    except OSError:  # it cannot even be looked at: so says who reads it
        return False


def _warn_once(options):
    """Return what shows a warning: as a note, the same one only once."""
    seen = set()

    def show(message, category, filename, lineno, file=None, line=None):
        if str(message) not in seen:
            seen.add(str(message))
            typer.echo(f"note: {in_options(str(message), options)}", err=True)

    return show
