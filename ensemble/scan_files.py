"""Files that a scan writes: what each is called, and who writes it."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

# What can be asked for: endings, what it takes beyond the library, who writes it.
KINDS = {
    "timeline": ((".png", ".svg", ".pdf"), ("matplotlib",), "plot_timeline"),
    "annotate": ((".mp4",), (), "annotate"),
    "evidence": ((".html",), ("jinja2", "matplotlib", "captum"), "to_html"),
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

    def write(self, result):
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
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                getattr(result, KINDS[kind][2])(path)
            except (ValueError, OSError, MemoryError) as error:
                left.append(f"no {kind}: {error or type(error).__name__}")
            else:
                written.append(path)
        return written, left


def planned_outputs(asked, videos):
    """Say where each output on each video goes; refuse what cannot be, before any work.

    Parameters
    ----------
    asked : dict of str to (str, Path or None)
        By kind of output, what was asked for: see `output_paths`.
    videos : sequence of str

    Returns
    -------
    list of PlannedOutputs
        One a video.
    """
    planned = [{} for _ in videos]
    for kind, target in asked.items():
        if target is None:
            continue
        suffixes, needed, _ = KINDS[kind]
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
    for video, paths in zip(videos, planned, strict=True):
        for kind, path in paths.items():
            if path.exists() and path.samefile(video):
                raise ValueError(
                    f"--{kind} {path} is the video itself; give another name"
                )
    return [PlannedOutputs(paths) for paths in planned]


def output_paths(target, videos, suffixes):
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

    Returns
    -------
    list of Path

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
    paths, seen = [], {}
    for video in videos:
        stem = Path(video).stem
        seen[stem] = seen.get(stem, 0) + 1
        numbered = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        paths.append(Path(text.replace("{stem}", numbered)))
    return paths
