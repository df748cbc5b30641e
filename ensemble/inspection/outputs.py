"""Files that a scan writes: what each is called, and who writes it."""

import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from base_models.addresses import file_name
from ensemble.reporting.outputs import Output, check_names_in, check_outputs

# What can be asked for: its kind, endings, what it takes beyond the library, who
# writes it.
KINDS = {
    "timeline": ("plot", (".png", ".svg", ".pdf"), ("matplotlib",), "plot_timeline"),
    "annotate": ("video", (".mp4",), (), "annotate"),
    "evidence": ("html", (".html",), ("jinja2", "matplotlib", "captum"), "to_html"),
}


@dataclass(frozen=True)
class PlannedOutputs:
    """Where the outputs on one video go.

    Attributes
    ----------
    paths : dict of str to Path
        By kind.
    """

    paths: dict

    def write(self, result: Any) -> tuple[list[Path], list[str]]:
        """Write what can be written.

        Parameters
        ----------
        result : ScanResult

        Returns
        -------
        written : list of Path
        left : list of str
            Why something was not.
        """
        written, left = [], []
        for kind, path in self.paths.items():
            try:
                getattr(result, KINDS[kind][3])(path)
            except (ValueError, OSError, MemoryError) as error:
                why = str(error) or type(error).__name__
                if isinstance(error, OSError) and error.strerror and error.filename:
                    why = f"{os.fsdecode(error.filename)}: {error.strerror}"
                left.append(f"{kind}: {why}")
            else:
                written.append(path)
        return written, left


def planned_outputs(
    asked: dict,
    videos: Sequence[str],
    inputs: Iterable[Path] = (),
    tables: Iterable[Output] = (),
    overwrite: bool = False,
) -> list[PlannedOutputs]:
    """Say where each output on each video goes; refuse what cannot be, before any work.

    Parameters
    ----------
    asked : dict of str to (str, Path or None)
        By kind of output, what was asked for: see `output_paths`.
    videos : sequence of str
    inputs : iterable of Path
        What else is read, such as the model.
    tables : iterable of Output
        What is written on all videos together.
    overwrite : bool, default=False
        See `ensemble.reporting.outputs.check_outputs`.

    Returns
    -------
    list of PlannedOutputs
        One a video.
    """
    planned = [{} for _ in videos]
    for kind, target in asked.items():
        if target is None:
            continue
        _, suffixes, needed, _ = KINDS[kind]
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"--{kind} needs {', '.join(missing)}: "
                "pip install 'deepfake-ensemble[report]'"
            )
        for paths, path in zip(
            planned, output_paths(target, videos, suffixes), strict=True
        ):
            paths[kind] = path
            if path != Path(target):
                check_names_in(f"--{kind}", path.parent, [path.name])
    outputs = [
        Output(f"--{kind}", path, KINDS[kind][0], ("scan",))
        for paths in planned
        for kind, path in paths.items()
    ]
    check_outputs([*outputs, *tables], [*videos, *inputs], overwrite)
    return [PlannedOutputs(paths) for paths in planned]


def output_paths(
    target: str | PathLike, videos: Sequence[str], suffixes: tuple[str, ...]
) -> list[Path]:
    """Say where an output goes, for each of several videos.

    Parameters
    ----------
    target : str or Path
        A file for one video. For several: a folder (that is there, or ends in a slash),
        a name with ``{stem}`` in it, or any name, which gets the video's stem before
        its ending. Videos of the same stem are numbered.
    videos : sequence of str
    suffixes : tuple of str
        Endings that will do; the first is taken in a folder.

    Examples
    --------
    >>> [path.as_posix() for path in output_paths("out.png", ["a.mp4"], (".png",))]
    ['out.png']
    >>> videos = ["x/a.mp4", "y/a.mp4", "b.mp4"]
    >>> [path.as_posix() for path in output_paths("out.png", videos, (".png",))]
    ['out-a.png', 'out-a-2.png', 'out-b.png']
    >>> [path.as_posix() for path in output_paths("plots/", ["b.mp4"], (".png",))]
    ['plots/b.png']
    """
    text = str(target)
    if Path(text).is_dir() or text.endswith(("/", "\\")):
        text = str(Path(text) / f"{{stem}}{suffixes[0]}")
    path = Path(text)
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"{target} must end in {' or '.join(suffixes)}, or be a folder"
        )
    if "{stem}" not in text:
        if len(videos) == 1:
            return [path]
        text = str(path.with_name(f"{path.stem}-{{stem}}{path.suffix}"))
    stems = [Path(file_name(video)).stem for video in videos]
    stems = ["video" if stem in (".", "..") else stem for stem in stems]
    taken = {stem.casefold() for stem in stems}  # some file systems ignore case
    paths, seen = [], set()
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in seen or (number > 1 and name.casefold() in taken):
            number += 1
            name = f"{stem}-{number}"
        seen.add(name.casefold())
        paths.append(Path(text.replace("{stem}", name)))
    return paths
