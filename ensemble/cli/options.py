"""Options that several commands have."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from base_models.choices import TRAINED_PARTS
from base_models.runtime.clusters.connecting import ADDRESSES, check_address
from ensemble.choices import DUPLICATES, ON_ERROR
from ensemble.datasets.kinds.registry import KIND_NAMES, find_kind


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
KindName = choice("KindName", KIND_NAMES)
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
        show_default=False,
    ),
]
Videos = Annotated[
    list[Path],
    typer.Argument(
        help="Videos, folders of them, tables that list them, or the root of a data "
        "set.",
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Of the table: utf-8, cp949, cp1252 ...; found out if it can be."
    ),
]
FakeLabel = Annotated[
    str | None,
    typer.Option(help="Which label means fake, where it is not 0/1, REAL/FAKE ..."),
]

Kind = Annotated[
    KindName,
    typer.Option(
        help="How the data set lies on the disk; auto finds out.",
        parser=_kind_named,
        metavar=listed(KIND_NAMES),
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Of train, val, test, by comma: those videos that the authors of the data "
        "set put there."
    ),
]
Missing = Annotated[
    MissingName,
    typer.Option(help="Videos that are listed and not there: refuse, or leave out."),
]
Duplicates = Annotated[
    DuplicatesName,
    typer.Option(help="The same content under two labels or in two groups."),
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
    str | None, typer.Option(help="Columns of P(fake): a pattern, or names by comma.")
]
Label = Annotated[str | None, typer.Option(help="Column of labels.")]
Group = Annotated[str | None, typer.Option(help="Column of groups.")]
Index = Annotated[
    str | None, typer.Option(help="Column of ids; paths give thumbnails.")
]
Pool = Annotated[
    str | None,
    typer.Option(
        help="For a table of frames, several rows a video: mean, median, max, "
        "logit_mean ..."
    ),
]
Shift = Annotated[
    str | None,
    typer.Option(
        help="Column of what will be new in use: method of a fake, source of a real. "
        "Folds hold its values out."
    ),
]
Invert = Annotated[
    str | None, typer.Option(help="Columns that are high for real videos, by comma.")
]

# The detectors that fit and compare train.
Backbones = Annotated[str, typer.Option(help="Networks, by comma.")]
Views = Annotated[
    str,
    typer.Option(
        help="By comma: frame, the whole picture; face, a square around the face; "
        "crop, for videos that are face crops already."
    ),
]
Train = Annotated[
    TrainName,
    typer.Option(
        help="What of each network learns: all, its normalisation, low-rank changes of "
        "attention, its last stage, or a head on frozen features.",
        metavar=listed(TRAINED_PARTS),
    ),
]
Weights = Annotated[
    str,
    typer.Option(help="imagenet, none (random), a file, or a name that get fetched."),
]
ImageSize = Annotated[
    int | None, typer.Option(help="Pixels; the network's own if not given.")
]
Frames = Annotated[int, typer.Option(help="Frames sampled per video.", min=1)]
Epochs = Annotated[int, typer.Option(help="Passes over the videos.", min=1)]

# How a model decides.
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
Abstain = Annotated[
    bool,
    typer.Option(
        "--abstain", help="UNSURE where a threshold lies within a video's interval."
    ),
]
NoDoubts = Annotated[
    bool,
    typer.Option(
        "--no-doubts",
        help="FAKE or REAL by the threshold alone (FAKE TRACES of a model of reals "
        "alone), also where doubts would make it UNSURE; they are listed either way.",
    ),
]

# How a command runs.
OnError = Annotated[
    OnErrorName,
    typer.Option(
        help="What fails while it is fitted: raise ends the run; skip leaves it out as "
        "a whole, says so, and ends with exit code 1."
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of everything random.", min=0, max=2**32 - 1)
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Fits side by side; -1 for all cores.")
]
JobsThere = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        help="Fits or videos side by side; -1 for all cores. If not given 1, or with "
        "--cluster as many as it has room for.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Where to compute: tcp://HOST:PORT, Dask's scheduler; ray://HOST:PORT, "
        "the client server of Ray's head; local or local:N, worker processes that are "
        "started here. Workers see the files under the same paths.",
        metavar=listed(ADDRESSES),
        callback=_check_cluster,
    ),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, ...", callback=_check_device)
]
StorePath = Annotated[Path | None, typer.Option(help="Where computed things are kept.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]

# What a command writes.
TableFile = Annotated[
    Path | None, typer.Option("--csv", help="The table; - prints it.")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files that this command did not write; never what it reads.",
    ),
]
