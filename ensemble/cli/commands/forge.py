"""``forge``: fakes of real footage, laid out as FaceForensics++."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.choices import FORGERIES
from ensemble.cli import options

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble forge interviews/ forged/ --pairs 20 --size 480\n\n"
    "  deepfake-ensemble forge people.csv forged/   (path, label, group)\n\n"
    "  deepfake-ensemble forge forged/ --bundled --pairs 8 --compression c23\n\n"
    "  deepfake-ensemble compare forged/ --protocol leave-method-out\n\n"
    "A run that was stopped goes on where it was. Such fakes serve tests and "
    "augmentation; they are far easier than those in the wild."
)

Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="[REAL_DIR] OUT",
        help="Folder of real footage, one face in each video, or a table or data set "
        "of which the real videos and their groups are taken; and a folder to write.",
        show_default=False,
    ),
]
Bundled = Annotated[
    bool,
    typer.Option("--bundled", help="Use scikit-image's portraits, no REAL_DIR."),
]
Methods = Annotated[
    str | None,
    typer.Option(help=f"Some of {', '.join(FORGERIES)}. Default: all."),
]
Compression = Annotated[
    str, typer.Option(help="Compressions: raw, c23, c40, separated by commas.")
]
Pairs = Annotated[
    int | None,
    typer.Option(help="Number of pairs of people. Default: all.", min=1),
]
Length = Annotated[int, typer.Option("--frames", help="Frames per clip.", min=1)]
Size = Annotated[
    int | None,
    typer.Option(help="Shorter side, pixels. Default: as the footage.", min=64),
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Parallel jobs; -1 for all cores.")
]
Shares = Annotated[str, typer.Option(help="Shares of the pairs in train,val,test.")]


def forge(
    folders: Folders,
    bundled: Bundled = False,
    methods: Methods = None,
    compression: Compression = "raw,c23,c40",
    pairs: Pairs = None,
    n_frames: Length = 50,
    size: Size = None,
    shares: Shares = "0.72,0.14,0.14",
    kind: options.Kind = options.KindName.auto,
    split: options.Split = None,
    seed: options.Seed = 0,
    jobs: Jobs = 1,
    encoding: options.Encoding = None,
    quiet: options.Quiet = False,
) -> None:
    """Make fakes from real footage by several methods, with masks and splits."""
    from ensemble.cli.inputs import split_names, split_shares
    from ensemble.datasets import forge_dataset
    from ensemble.datasets.forge.folder import check_apart
    from ensemble.reporting.outputs import check_folder

    if len(folders) != (1 if bundled else 2):
        raise typer.BadParameter(
            "give one folder, OUT, with --bundled, and two, REAL_DIR and OUT, without; "
            f"got {len(folders)}"
        )
    out = folders[-1]
    check_folder("OUT", out)
    sources, groups = None, None
    if not bundled:
        if folders[0].is_dir():
            check_apart(out, [folders[0]])
        sources, groups = _reals_at(folders[0], kind.value, split, encoding, quiet)
    table = forge_dataset(
        sources,
        out,
        methods=None if methods is None else split_names(methods),
        compression=split_names(compression),
        pairs=pairs,
        n_frames=n_frames,
        size=size,
        shares=split_shares(shares),
        source_groups=groups,
        random_state=seed,
        n_jobs=jobs,
        verbose=not quiet,
    )
    typer.echo(f"{out}: {table.summary()}; manifest.json says how each was made")


def _reals_at(path, kind, split, encoding, quiet):
    """Real videos, and who is seen in them: None where nobody says."""
    from ensemble.cli.inputs import data_set_at
    from ensemble.datasets.loading import is_labelled

    if kind == "auto" and split is None and not is_labelled(path):
        return path, None
    table = data_set_at(path, kind, split, encoding=encoding, quiet=quiet).table
    reals = table[table["label"] == 0]
    if not len(reals):
        raise ValueError(
            f"{path} has no videos that are labelled real; fakes are not forged once "
            "more"
        )
    groups = reals["group"].fillna(reals["video_id"])
    return reals["path"].tolist(), groups.tolist()
