"""``compare``: members and strategies side by side, from scores or from videos."""

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.choices import NESTINGS
from ensemble.cli import options
from ensemble.cli.clusters import on_cluster
from ensemble.cli.errors import SOME_UNSCORABLE
from ensemble.cli.inputs import (
    check_labelled,
    checkpoints_by_compression,
    named_detectors,
)
from ensemble.cli.output import (
    Writings,
    is_printed,
    say_unscorable,
    write_csv,
    write_json,
)
from ensemble.comparison.protocols import PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.cli.comparison_inputs import ComparisonInputs
    from ensemble.combiners.base import Combiner
    from ensemble.comparison.result import Comparison

EXAMPLES = (
    "Examples:\n\n"
    '  deepfake-ensemble compare scores.csv --scores "p_*" --report report.html\n\n'
    '  deepfake-ensemble compare scores.csv --scores "p_*" --label label --group group '
    "--method method --protocol leave-method-out --report report.html\n\n"
    "  deepfake-ensemble compare videos/ --backbones efficientnet_lite0 --train head "
    "--report report.html    (videos/real, videos/fake)\n\n"
    "  deepfake-ensemble compare FaceForensics/ --split test -m all_raw.p -m all_c23.p "
    "-m all_c40.p    (trained on x judged on, by compression)"
)

ProtocolName = options.choice("ProtocolName", PROTOCOLS)
NestingName = options.choice("NestingName", NESTINGS)

Data = Annotated[
    Path,
    typer.Argument(
        help="Table of scores (.csv, .parquet), one row a video; or videos: the root "
        "of a data set, a folder with real/ and fake/, or CSV with "
        "path,label[,group].",
        show_default=False,
    ),
]
Report = Annotated[Path | None, typer.Option(help="HTML report to write.")]
Title = Annotated[str, typer.Option(help="Title of the report.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write table and verdict; - prints them.")
]

# What the columns of the table hold.
AsVideos = Annotated[
    bool,
    typer.Option("--videos", help="The table lists videos; train detectors on them."),
]
Method = Annotated[str | None, typer.Option(help="Column of forgery methods.")]
Family = Annotated[
    str | None,
    typer.Option(help="Column of families of methods; else known by their names."),
]
Source = Annotated[str | None, typer.Option(help="Column of sources.")]
Compression = Annotated[str | None, typer.Option(help="Column of compression.")]
Dataset = Annotated[str | None, typer.Option(help="Column of data sets.")]
Time = Annotated[str | None, typer.Option(help="Column of times.")]
TimeFormat = Annotated[
    str | None,
    typer.Option(help="Format of times unlike 2019-10-08, such as %d/%m/%Y."),
]

# How strategies are judged.
Protocol = Annotated[
    ProtocolName,
    typer.Option(
        help="Which videos strategies are tested on.", metavar=options.listed(PROTOCOLS)
    ),
]
Nesting = Annotated[
    NestingName | None,
    typer.Option(
        help="exact: the scores are of detectors not trained on these videos (from "
        "videos: more fits); stored: out-of-fold scores, slightly optimistic."
    ),
]
Strategies = Annotated[
    str, typer.Option(help="all, or names separated by commas: soft, logistic ...")
]
Folds = Annotated[
    int | None,
    typer.Option(
        help="Number of folds. Default: those of an out-of-fold table, else 5.", min=2
    ),
]
Repeats = Annotated[int, typer.Option(help="How often folds are drawn.", min=1)]
MinCoverage = Annotated[
    float,
    typer.Option(
        help="Fail if a detector or strategy has scored a smaller share of the videos.",
        min=0,
        max=1,
    ),
]
Details = Annotated[
    bool,
    typer.Option(
        "--details",
        help="Print all statements, not only the four most important.",
    ),
]
Draws = Annotated[int, typer.Option(help="Bootstrap draws for each interval.", min=10)]


def compare(
    data: Data,
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    missing: options.Missing = options.MissingName.refuse,
    duplicates: options.Duplicates = options.DuplicatesName.refuse,
    report: Report = None,
    scores: options.Scores = None,
    as_videos: AsVideos = False,
    label: options.Label = None,
    group: options.Group = None,
    index: options.Index = None,
    method: Method = None,
    family: Family = None,
    source: Source = None,
    compression: Compression = None,
    dataset: Dataset = None,
    time: Time = None,
    time_format: TimeFormat = None,
    pool: options.Pool = None,
    invert: options.Invert = None,
    protocol: Protocol = ProtocolName("group-kfold"),  # noqa: B008
    nesting: Nesting = None,
    shift: options.Shift = None,
    strategies: Strategies = "all",
    folds: Folds = None,
    repeats: Repeats = 1,
    draws: Draws = 1000,
    on_error: options.OnError = options.OnErrorName("raise"),  # noqa: B008
    min_coverage: MinCoverage = 0.0,
    csv_file: options.TableFile = None,
    json_file: JsonFile = None,
    title: Title = "Comparison of deepfake detectors",
    details: Details = False,
    models: options.Models = None,
    backbones: options.Backbones = "xception,efficientnet,resnet",
    views: options.Views = "frame,face",
    train: options.Train = options.TrainName.full,
    weights: options.Weights = "imagenet",
    image_size: options.ImageSize = None,
    n_frames: options.Frames = 16,
    epochs: options.Epochs = 10,
    store: options.StorePath = None,
    device: options.Device = None,
    fake_label: options.FakeLabel = None,
    encoding: options.Encoding = None,
    seed: options.Seed = 0,
    jobs: options.JobsThere = None,
    cluster: options.Cluster = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare detectors and strategies on videos that they were not trained on."""
    settings = SimpleNamespace(**locals())
    inputs = _read_inputs(settings)
    if inputs.used and not settings.quiet:
        from ensemble.cli.tables import visible

        taken = "; ".join(f"{what}: {column}" for what, column in inputs.used.items())
        typer.echo(f"Columns taken: {visible(taken)}", err=True)
    comparison = _compare(settings, inputs)
    _finish(settings, inputs, comparison)


def _finish(
    settings: SimpleNamespace, inputs: "ComparisonInputs", comparison: "Comparison"
) -> None:
    """Print and write what came of it; leave with 1 where something failed."""
    from ensemble.cli.tables import show_comparison

    csv_file, json_file = settings.csv_file, settings.json_file
    is_data = is_printed(json_file, csv_file)
    shipping = _shipping(settings, inputs, comparison)
    writings, report = Writings(), settings.report
    if report is not None and not writings.attempt(
        comparison.to_html, report, settings.title
    ):
        report = None
    show_comparison(comparison, report, is_data, shipping, settings.details)
    writings.attempt(write_csv, csv_file, comparison.table, index_label="strategy")
    writings.attempt(write_json, json_file, comparison.to_dict())
    writings.check()
    facts = comparison.facts
    n_left = facts.n_videos_held_out - facts.n_videos_judged
    if inputs.videos is None:  # a table has what it has
        n_left = 0
    say_unscorable(n_left, facts.n_videos_held_out, "not judged; the note says why")
    if facts.failed or n_left:
        raise typer.Exit(SOME_UNSCORABLE)


def _read_inputs(settings: SimpleNamespace) -> "ComparisonInputs":
    from ensemble.cli.comparison_inputs import TableColumns, read_inputs

    described = ("method", "family", "source", "compression", "dataset", "time")
    columns = TableColumns(
        settings.scores,
        settings.label,
        settings.group,
        settings.index,
        {name: getattr(settings, name) for name in described},
        settings.time_format,
        settings.shift,
    )
    reading = {
        "kind": settings.kind.value,
        "split": settings.split,
        "missing": settings.missing.value,
        "duplicates": settings.duplicates.value,
        "fake_label": settings.fake_label,
        "encoding": settings.encoding,
        "quiet": settings.quiet,
    }
    inputs = read_inputs(
        settings.data,
        columns,
        reading,
        settings.as_videos,
        settings.pool,
        settings.invert,
    )
    if inputs.scores is not None:
        _check_labels(settings, inputs.scores)
    if settings.models and inputs.videos is None:
        raise typer.BadParameter(
            f"--model gives networks to score videos, and {settings.data} holds "
            "scores; leave one out"
        )
    return inputs


def _check_labels(settings: SimpleNamespace, scores: "pd.DataFrame") -> None:
    from ensemble.scores.table import companions

    beside = companions(scores)
    if beside["label"].notna().all():  # others are named where they are compared
        check_labelled(settings.data, beside, settings.fake_label)


def _check_outputs(settings: SimpleNamespace, inputs: "ComparisonInputs") -> None:
    from ensemble.reporting.outputs import (
        Output,
        check_outputs,
        tables_of,
    )

    outputs = tables_of("compare", settings.csv_file, settings.json_file)
    if settings.report is not None:
        outputs.append(Output("--report", settings.report, "html", ("compare",)))
    check_outputs(
        outputs,
        [
            settings.data,
            *inputs.files,
            settings.weights,
            *(settings.models or ()),
        ],
        settings.overwrite,
        settings.store,
    )


def _detectors(settings: SimpleNamespace) -> list:
    """Return the members: checkpoints as they are, or networks to train."""
    if settings.models:
        return checkpoints_by_compression(settings.models, settings.device)
    return named_detectors(
        settings.backbones,
        settings.views,
        settings.weights,
        train=settings.train.value,
        image_size=settings.image_size,
        n_frames=settings.n_frames,
        epochs=settings.epochs,
    )


def _compare(settings: SimpleNamespace, inputs: "ComparisonInputs") -> "Comparison":
    from base_models.inputs import label_as_given
    from ensemble import compare_strategies

    _check_outputs(settings, inputs)
    members, videos = inputs.scores, {}
    if inputs.videos is not None:
        members = _detectors(settings)
        videos = {"videos": inputs.videos, "device": settings.device}
    nesting = settings.nesting
    with on_cluster(settings.cluster):
        return compare_strategies(
            members,
            strategies=_strategies(settings.strategies),
            shift=inputs.shift,
            metadata=inputs.metadata,
            protocol=settings.protocol.value,
            nesting=None if nesting is None else nesting.value,
            n_folds=settings.folds,
            repeats=settings.repeats,
            n_boot=settings.draws,
            min_coverage=settings.min_coverage,
            on_error=settings.on_error.value,
            random_state=settings.seed,
            n_jobs=settings.jobs,
            store=settings.store,
            fake_label=label_as_given(settings.fake_label, inputs.labels),
            verbose=not settings.quiet,
            **videos,
        )


def _strategies(text: str) -> str | list[str]:
    from ensemble.combiners.strategies import split_strategies

    return text if text == "all" else split_strategies(text)


def _shipping(
    settings: SimpleNamespace, inputs: "ComparisonInputs", comparison: "Comparison"
) -> str | None:
    """Return the commands that save what is worth taking as a rule."""
    from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN

    if not comparison.to_take or inputs.scores is None:
        return None
    plain = {MEAN: "the plain mean", CHOSEN_MEMBER: "the best single detector"}
    foreign = [n for n in comparison.to_take if _is_foreign(comparison.strategies[n])]
    names = [name for name in comparison.to_take if name not in foreign]
    lines = [
        f"{name} cannot be saved as a rule, since its model is of another library; it "
        "stands in the table to compare with."
        for name in foreign
    ]
    lines += ["Take either; `combine` calibrates both."] if len(names) > 1 else []
    for name in names:
        command = _combine(settings, inputs, name)
        lines.append(f"To save {plain.get(name, name)} as a rule:\n{command}")
    return "\n".join(lines)


def _is_foreign(combiner: "Combiner") -> bool:
    """Whether a combiner holds a model that no file of ours keeps, as LightGBM's."""
    model = getattr(combiner, "meta_model", None)
    module = "" if isinstance(model, str) else type(model).__module__
    return (
        model is not None
        and bool(module)
        and not module.startswith(("sklearn.", "ensemble."))
    )


def _combine(
    settings: SimpleNamespace, inputs: "ComparisonInputs", strategy: str
) -> str:
    """Return the command that makes a rule of a strategy, from the same columns."""
    from ensemble.combiners.registry import combiner_name

    scores = settings.scores
    if scores is None:  # named, since combine would pick among columns anew
        scores = ",".join(map(str, inputs.scores.columns))
    options = {
        "scores": scores,
        "label": settings.label,
        "group": settings.group,
        "index": inputs.index,
        "shift": settings.shift,
        "pool": settings.pool,
        "invert": settings.invert,
        "fake-label": settings.fake_label,
        "encoding": settings.encoding,
        "seed": settings.seed or None,
        "combiner": combiner_name(strategy),
        "out": "rule.dfe",
    }
    words = [f"--{name} {shlex.quote(str(v))}" for name, v in options.items() if v]
    return " ".join(
        ["deepfake-ensemble combine", shlex.quote(str(settings.data)), *words]
    )
