"""Options that several commands have."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from base_models.choices import FEATURES, SAMPLINGS, TRAINED_PARTS
from base_models.runtime.clusters.connecting import ADDRESSES, check_address
from ensemble.choices import DUPLICATES, ON_ERROR
from ensemble.datasets.kinds.registry import find_kind, kind_names


def choice(name, values):
    """Return the type of an option that takes one of some names.

    Parameters
    ----------
    name : str
        Of the type, for a programmer to read.
    values : iterable of str

    Returns
    -------
    Enum class

    Examples
    --------
    >>> from ensemble.cli.options import choice
    >>> choice("Size", ["small", "large"])("large").value
    'large'
    """
    return Enum(name, {value: value for value in values}, type=str)


def _check_device(device):
    """Refuse a device that is not there, before anything is opened."""
    if device is not None:
        from base_models.runtime.devices import resolve_device

        try:
            resolve_device(device)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return device


def _check_cluster(address):
    """Refuse what is no address of a cluster, before anything is opened."""
    if address is not None:
        try:
            check_address(address)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return address


def listed(values):
    """Return choices as the help lists them: with spaces, where lines may break.

    Examples
    --------
    >>> from ensemble.cli.options import listed
    >>> listed(("small", "large"))
    'small | large'
    """
    return " | ".join(values)


def _kind_named(text):
    """Return the kind of data set that is meant, by its name or an alias."""
    try:
        return KindName(find_kind(getattr(text, "value", text)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


TrainName = choice("TrainName", TRAINED_PARTS)
FeaturesName = choice("FeaturesName", FEATURES)
SamplingName = choice("SamplingName", SAMPLINGS)
KindName = choice("KindName", kind_names())
MissingName = choice("MissingName", ("refuse", "drop"))
DuplicatesName = choice("DuplicatesName", DUPLICATES)
OnErrorName = choice("OnErrorName", ON_ERROR)

# What a command reads.
_MODEL = typer.Option(
    "--model",
    "-m",
    help="File that fit, demo or assemble wrote, or a checkpoint of a network (.p, "
    ".pth, .h5, .safetensors, a folder that convert wrote), or one that get "
    "fetched, by name. Several checkpoints are combined by the mean of their log-odds.",
    show_default=False,
)
Models = Annotated[list[Path] | None, _MODEL]
NeededModels = Annotated[list[Path], _MODEL]
ModelThenVideos = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL VIDEOS",
        help="The model, unless --model gives it; then videos, folders of them, "
        "tables that list them, or the root of a data set.",
        readable=False,  # one that is not costs itself alone
        show_default=False,
    ),
]
Videos = Annotated[
    list[Path],
    typer.Argument(
        help="Videos, folders of them, tables that list them, or the root of a data "
        "set.",
        readable=False,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of the table: utf-8, cp949, cp1252 ...; detected if not given."
    ),
]
FakeLabel = Annotated[
    str | None,
    typer.Option(help="The label that means fake, if labels are not 0/1 or REAL/FAKE."),
]

Kind = Annotated[
    KindName,
    typer.Option(
        help="Layout of the data set; auto detects it.",
        parser=_kind_named,
        metavar=listed(kind_names()),
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Use only these splits of the data set's authors: train, val, test, "
        "separated by commas."
    ),
]
Missing = Annotated[
    MissingName,
    typer.Option(
        help="Videos that are listed but missing on disk: refuse, or drop them."
    ),
]
Duplicates = Annotated[
    DuplicatesName,
    typer.Option(help="Copies of one video under two labels or in two groups."),
]

# Tables of scores, and what their columns hold.
ScoreTable = Annotated[
    Path,
    typer.Argument(
        help="Table of scores (.csv, .tsv, .xlsx, .parquet), one row a video.",
        show_default=False,
    ),
]
Scores = Annotated[
    str | None, typer.Option(help="Columns of scores: a pattern such as p_*, or names.")
]
Label = Annotated[str | None, typer.Option(help="Column of labels.")]
Group = Annotated[str | None, typer.Option(help="Column of groups.")]
Index = Annotated[
    str | None,
    typer.Option(help="Column of ids; if they are paths, the report shows thumbnails."),
]
Pool = Annotated[
    str | None,
    typer.Option(
        help="For tables with several rows (frames) per video, how to pool them: mean, "
        "median, max, logit_mean ..."
    ),
]
Shift = Annotated[
    str | None,
    typer.Option(
        help="Column of what will be new in use, such as the method of a fake or the "
        "source of a real video. Each of its values is held out in turn."
    ),
]
Invert = Annotated[
    str | None, typer.Option(help="Columns that are high for real videos.")
]

# The detectors that fit and compare train.
Backbones = Annotated[
    str,
    typer.Option(
        help="Networks, or detectors that other packages declare, separated by commas."
    ),
]
Views = Annotated[
    str,
    typer.Option(
        help="What they look at, separated by commas: frame, the whole picture; face, "
        "a square around the face; crop, for videos that are face crops already."
    ),
]
Train = Annotated[
    TrainName,
    typer.Option(
        help="Which weights are trained: all, normalisation layers, low-rank changes "
        "of attention, the last stage, or only a head on frozen features.",
        metavar=listed(TRAINED_PARTS),
    ),
]
Weights = Annotated[
    str,
    typer.Option(help="imagenet, none (random), a file, or a name fetched by get."),
]
ImageSize = Annotated[
    int | None,
    typer.Option(help="Side of the images, pixels. Default: the network's own."),
]
Frames = Annotated[int, typer.Option(help="Frames sampled per video.", min=1)]
Sampling = Annotated[
    SamplingName,
    typer.Option(
        help="Frames spread evenly over a video, or moved to key frames near there: "
        "cheap in very long files."
    ),
]
Features = Annotated[
    FeaturesName,
    typer.Option(
        help="What of a network its head sees: its last features, or those of middle "
        "stages or blocks (not with --train last_stage)."
    ),
]
Epochs = Annotated[int, typer.Option(help="Passes over the videos.", min=1)]

# How a model decides.
Threshold = Annotated[
    str | None,
    typer.Option(
        help="Override the model's decision threshold: a number; fpr=0.05, at most 5 % "
        "of real videos above it; cost=10, a false alarm costs as much as ten misses "
        "(cost=1:10 the other way round); or three-way, with UNSURE in between. Set "
        "on the out-of-fold scores that the model keeps."
    ),
]
Prior = Annotated[
    float | None,
    typer.Option(help="Share of fakes that you expect; P(fake) is corrected for it."),
]
Cascade = Annotated[
    str | None,
    typer.Option(
        help="Ask members in turn until a verdict is settled: exact, where the others "
        "cannot change it, or the share of videos whose verdict may differ from that "
        "of all members, such as 0.005, certified on the out-of-fold scores that the "
        "model keeps; none asks all. Default: as the model was fitted.",
        metavar="exact|SHARE|none",
    ),
]
Abstain = Annotated[
    bool,
    typer.Option(
        "--abstain", help="Say UNSURE if the threshold lies within a video's interval."
    ),
]
NoDoubts = Annotated[
    bool,
    typer.Option(
        "--no-doubts",
        help="Let the threshold alone decide, even if there are doubts that would make "
        "the verdict UNSURE; the doubts are still listed.",
    ),
]

# How a command runs.
OnError = Annotated[
    OnErrorName,
    typer.Option(
        help="If a detector or strategy fails: raise ends the run; skip leaves it out, "
        "reports it, and the exit code is 1."
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0, max=2**32 - 1)]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Parallel jobs; -1 for all cores.")
]
JobsThere = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        help="Parallel jobs; -1 for all cores. Default: 1; with --cluster as many as "
        "it has room for.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Where to compute: tcp://HOST:PORT, a Dask scheduler; ray://HOST:PORT, a "
        "Ray client server; local or local:N, worker processes on this machine. "
        "Workers must see the files under the same paths.",
        metavar=listed(ADDRESSES),
        callback=_check_cluster,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, ... Default: a GPU if any.", callback=_check_device),
]
StorePath = Annotated[
    Path | None, typer.Option(help="Folder or bucket that keeps computed results.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]

# What a command writes.
TableFile = Annotated[
    Path | None, typer.Option("--csv", help="Write the table; - prints it.")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing files that this command did not write.",
    ),
]


MANY = 14  # options, above which a command's help has titles

_TRAINED = "Detectors to train"
# Names of parameters by title; what stands under none is what most users need.
PANELS = {
    "What the table holds": (
        "label", "group", "index", "method", "family", "source", "compression",
        "dataset", "time", "time_format", "pool", "invert", "fake_label", "encoding",
        "column",
    ),
    "Videos of a data set": (
        "kind", "split", "missing", "duplicates", "as_videos", "submission", "clip",
    ),
    _TRAINED: (
        "backbones", "views", "train", "weights", "features", "image_size", "n_frames",
        "sampling", "epochs", "faces_pooling",
    ),
    "Folds and intervals": (
        "protocol", "nesting", "shift", "folds", "repeats", "draws", "min_coverage",
    ),
    "What one user may ask for": (
        "upload", "memory", "disk", "queue", "rate", "keep", "allow_host", "allow_urls",
    ),
    "How it runs": (
        "store", "device", "engine", "seed", "jobs", "cluster", "timeout", "isolation",
        "on_error", "part_size", "quiet",
    ),
}  # fmt: skip


class PanelledCommand(TyperCommand):
    """A command whose help puts many options under titles.

    Examples
    --------
    >>> import typer
    >>> from ensemble.cli.app import app
    >>> command = typer.main.get_command(app).commands["compare"]
    >>> command.params[-1].name, command.params[-1].rich_help_panel
    ('quiet', 'How it runs')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        titles = {name: title for title, names in PANELS.items() for name in names}
        if "backbones" not in {option.name for option in self.params}:
            titles = {name: t for name, t in titles.items() if t != _TRAINED}
        if len(self.params) > MANY:
            for option in self.params:
                option.rich_help_panel = titles.get(option.name)
            places = [None, *PANELS]  # in this order the help has them
            self.params.sort(key=lambda option: places.index(option.rich_help_panel))
