"""What commands are given: videos, saved models, and detectors by name."""

import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.datasets.video_table import VideoTable


def split_names(text: str) -> list[str]:
    """Split names that are given by comma.

    Examples
    --------
    >>> from ensemble.cli.inputs import split_names
    >>> split_names("soft, stacking,")
    ['soft', 'stacking']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def split_shares(text: str) -> list[float]:
    """Split the numbers of ``--shares``.

    Examples
    --------
    >>> from ensemble.cli.inputs import split_shares
    >>> split_shares("0.7,0.15,0.15")
    [0.7, 0.15, 0.15]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            "--shares must be three numbers by comma, such as 0.7,0.15,0.15; got "
            f"{text!r}"
        ) from None


def videos_at(
    paths: Iterable[Path], kind: str = "auto", split: str | None = None
) -> tuple[list[str], list[Path]]:
    """Replace folders by the videos in them, and data sets by theirs.

    A folder of frame images is a video. A folder that is no known data set, or that
    holds real/ and fake/, gives all that is below it.

    Parameters
    ----------
    paths : iterable of Path
    kind : str, default="auto"
        Of the data sets.
    split : str or None, default=None
        By comma; then all of them must be data sets that have it.

    Returns
    -------
    videos : list of str
    lists : list of Path
        Files that were read to find them, which no command writes onto.
    """
    from ensemble.datasets.exploring.files import warn_of_unlisted
    from ensemble.datasets.kinds.class_folders import videos_below

    videos, lists = [], []
    for path in paths:
        if _is_data_set(path, kind, split):
            table = data_set_at(path, kind, split, missing="keep", duplicates="allow")
            videos, lists = videos + table.videos, [*lists, *table.lists]
            warn_of_unlisted(table, path, split)
            continue
        listed = videos_below(path) if _is_folder(path) else _videos_at_address(path)
        videos += [str(video) for video in listed] or [named_video(path)]
    return videos, lists


def _videos_at_address(path: Path) -> list[str]:
    """Return the videos of a folder behind an address; none of what is a file."""
    from base_models.addresses import ending, public_name, remote_address
    from base_models.errors import VideoReadError

    address = remote_address(path)
    if address is None or ending(address) or address.startswith("http"):
        return []
    from base_models.video.paths import list_videos

    try:
        found = list_videos(address)
    except (NotADirectoryError, VideoReadError):  # so says who reads it
        return []
    if not found:
        raise typer.BadParameter(f"no video is below {public_name(address)}")
    return found


def named_video(path: Path) -> str:
    """Return a path as text, and an address with the slash that `Path` takes away.

    Examples
    --------
    >>> from ensemble.cli.inputs import named_video
    >>> named_video(Path("s3://bucket/a.mp4")), named_video(Path("clips/a.mp4"))
    ('s3://bucket/a.mp4', 'clips/a.mp4')
    """
    from base_models.addresses import local_path, remote_address

    return remote_address(path) or local_path(str(path))


def _is_data_set(path: Path, kind: str, split: str | None) -> bool:
    """Whether what to score is listed by a data set, and is not simply all there is."""
    from ensemble.datasets.kinds.registry import AUTO, KINDS, kind_of

    if kind != AUTO or split is not None:
        return True
    try:
        found = kind_of(path)
        return found is not None and (
            KINDS[found].is_public if path.is_dir() else path.is_file()
        )
    except OSError:  # it cannot even be looked at: so says who reads it
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # as above
        return False


def data_set_at(
    path: Path,
    kind: str = "auto",
    split: str | None = None,
    missing: str = "refuse",
    duplicates: str = "refuse",
    fake_label: str | None = None,
    encoding: str | None = None,
    quiet: bool = False,
) -> "VideoTable":
    """Read a data set and print what it was recognised as.

    Parameters
    ----------
    path : Path
    kind, missing, duplicates, fake_label, encoding
        As for `ensemble.datasets.load_dataset`.
    split : str or None, default=None
        By comma.
    quiet : bool, default=False
        Print nothing.

    Returns
    -------
    VideoTable
    """
    from ensemble.datasets import load_dataset

    table = load_dataset(
        kind,
        path,
        split=None if split is None else split_names(split),
        missing=missing,
        duplicates=duplicates,
        fake_label=fake_label,
        encoding=encoding,
    )
    if not quiet:
        typer.echo(f"{path}: {table.kind}, {table.summary()}", err=True)
    return table


def labelled_videos_at(
    path: Path, *, quiet: bool = False, **reading: Any
) -> "VideoTable":
    """Read a data set and leave out what has no label.

    Parameters
    ----------
    path, quiet, **reading
        As for `data_set_at`.

    Returns
    -------
    VideoTable

    Raises
    ------
    ValueError
        If no video has a label.
    """
    table = data_set_at(path, quiet=quiet, **reading)
    labelled = table.subset(labelled=True)
    if not len(labelled):
        raise ValueError(f"no video of {path} has a label (a column label)")
    if len(labelled) < len(table) and not quiet:
        n = len(table) - len(labelled)
        typer.echo(f"note: {n} videos without a label are left out", err=True)
    return labelled


def named_detectors(backbones: str, views: str, weights: str, **settings: Any) -> list:
    """Return a `FrameDetector` per backbone and view, or what a package declares."""
    from base_models import FrameDetector, make_detector
    from base_models.plugins import DETECTORS, plugins
    from base_models.published import weights_named

    others = [name for name in split_names(backbones) if name in plugins(DETECTORS)]
    return [make_detector(name) for name in others] + [
        FrameDetector(
            backbone,
            view=view,
            weights=None if weights == "none" else weights_named(weights),
            **settings,
        )
        for backbone in split_names(backbones)
        if backbone not in others
        for view in split_names(views)
    ]


def models_and_videos(
    paths: Sequence[Path], models: Sequence[Path] | None
) -> tuple[list[Path], list[Path]]:
    """Tell models from videos, where the model may come before the videos.

    Parameters
    ----------
    paths : list of Path
        Videos; before them the model, unless `models` are given.
    models : list of Path or None
        Of ``--model``.

    Examples
    --------
    >>> from ensemble.cli.inputs import models_and_videos
    >>> models_and_videos(["model.dfe", "clip.mp4"], None)
    (['model.dfe'], ['clip.mp4'])
    >>> models_and_videos(["clip.mp4"], ["full_c23.p", "all_c23.p"])
    (['full_c23.p', 'all_c23.p'], ['clip.mp4'])
    """
    if models:
        if _is_model(paths[0]):
            raise typer.BadParameter(
                f"{paths[0]} is a model, and --model gives one already; give all "
                "models as --model, and videos alone without it"
            )
        return list(models), list(paths)
    if len(paths) < 2:
        raise typer.BadParameter(
            f"Missing argument: the model comes first, then the videos; got {paths[0]} "
            "alone. Or give the model as --model"
        )
    return [paths[0]], list(paths[1:])


def open_ensemble(
    models: Path | Sequence[Path],
    device: str | None,
    quiet: bool,
    threshold: str | None = None,
    prior: float | None = None,
):
    """Load a model; set what was asked for, refuse what it cannot do.

    Parameters
    ----------
    models : Path or list of Path
        A saved ensemble, or checkpoints of networks, which are put together.

    Returns
    -------
    DeepfakeEnsemble
    """
    from ensemble.decision.named_thresholds import parse_threshold
    from ensemble.decision.prior import check_prior

    check_prior(prior)
    if threshold is not None:
        parse_threshold(threshold)
    model = _opened(models, device)
    asked = {"threshold": threshold, "prior": prior}
    asked = {name: value for name, value in asked.items() if value is not None}
    model.set_params(verbose=not quiet, **asked)
    _ = model.thresholds_  # what it cannot do is told before any video is opened
    return model


def open_to_serve(paths: str | Sequence[str], **how: Any):
    """Load a model as `open_ensemble` does, for a server's process that scans."""
    paths = [paths] if isinstance(paths, str) else paths
    return open_ensemble([Path(path) for path in paths], quiet=True, **how)


def _opened(models, device):
    import ensemble

    paths = [models] if isinstance(models, (str, Path)) else list(models)
    paths = [fetched_model(path) for path in paths]
    if len(paths) == 1 and not _is_checkpoint(paths[0]):
        return _scoring_videos(ensemble.load(paths[0], device=device), paths[0])
    saved = [path for path in paths if not _is_checkpoint(path)]
    if saved:
        raise typer.BadParameter(
            f"several models are put together of checkpoints, and {saved[0]} is none: "
            "give one saved ensemble, or checkpoints (.p, .pth, .h5, .safetensors, or "
            "folders that convert wrote)"
        )
    _check_signable(paths[0])
    model = put_together(paths, device=device)
    if len(paths) == 1:
        model.fit_record_.lies_in(paths[0])
    return model


def put_together(paths: Sequence[Path], device: str | None = None, **params):
    """Open checkpoints and make one ensemble of them, without labelled videos.

    Parameters
    ----------
    paths : list of Path
    device : str or None
    **params
        Of `DeepfakeEnsemble.from_detectors`.

    Returns
    -------
    DeepfakeEnsemble
    """
    from ensemble import DeepfakeEnsemble

    detectors = checkpoint_detectors(paths, device)
    return DeepfakeEnsemble.from_detectors(detectors, device=device, **params)


def checkpoint_detectors(paths: Sequence[Path], device: str | None) -> list:
    """Open checkpoints, none of them twice, as detectors that are fitted already."""
    paths, seen = [fetched_model(path) for path in paths], {}
    for path in paths:
        other = seen.setdefault(os.path.realpath(path), path)
        if other is not path:
            raise typer.BadParameter(f"{path} is given twice; give each model once")
        if is_saved_model(path):
            raise typer.BadParameter(
                f"{path} is a saved ensemble; give the checkpoints that it is of"
            )
    return [_checkpoint(path, device) for path in paths]


def fetched_model(path: Path) -> Any:
    """Return where a published model lies that is given by name; a path as it is."""
    from base_models.published import model_named

    return model_named(path)


def checkpoints_by_compression(paths: Sequence[Path], device: str | None) -> list:
    """Open checkpoints, and what chooses among those of different compressions.

    Returns
    -------
    list of detector
        Where all of two or more say for which compression they were trained, each for
        another, a `CompressionRouter` of them comes last.
    """
    from base_models import CompressionRouter

    detectors = checkpoint_detectors(paths, device)
    levels = {detector.card_["compression"]: detector for detector in detectors}
    if 1 < len(levels) == len(detectors) and None not in levels:
        return [*detectors, CompressionRouter(levels, device=device)]
    return detectors


def _checkpoint(path, device):
    from base_models import load_checkpoint
    from base_models.errors import UnknownNetworkError

    try:
        return load_checkpoint(path, device=device)
    except UnknownNetworkError as error:
        raise UnknownNetworkError(
            f"{error}. Say it once: deepfake-ensemble convert {path} FOLDER --scope "
            "face --backbone NAME; then --model FOLDER"
        ) from error


def _is_checkpoint(path):
    """Whether a model is weights of one network, and no saved ensemble."""
    from ensemble.persistence.wrong_files import is_checkpoint

    return not is_saved_model(path) and is_checkpoint(path)


def _is_model(path):
    return Path(path).suffix == ".dfe" or (
        Path(path).is_file() and _is_checkpoint(path)
    )


def is_saved_model(path: Path) -> bool:
    """Whether a file is one that `save` wrote, of an ensemble or a rule on scores."""
    from base_models.errors import ArtifactError
    from base_models.limits import check_file

    check_file(path, ArtifactError)
    if not zipfile.is_zipfile(path):  # PyTorch's checkpoints are archives too
        return False
    with zipfile.ZipFile(path) as archive:
        return "manifest.json" in archive.namelist()


def open_model(path: Path):
    """Load a `DeepfakeEnsemble`, or a checkpoint as a detector, on the CPU."""
    import ensemble
    from base_models import load_checkpoint

    path = fetched_model(path)
    if is_saved_model(path):
        return _scoring_videos(ensemble.load(path, device="cpu"), path)
    _check_signable(path)
    return load_checkpoint(path, device="cpu")


def _check_signable(path):
    """Refuse a checkpoint, which carries no signature, where one is asked for."""
    from ensemble.persistence.signature import KEY_VARIABLE, secret

    if secret(None) is not None:
        raise typer.BadParameter(
            f"{path} is a checkpoint and carries no signature, which {KEY_VARIABLE} "
            "asks for. Make a signed model of it with deepfake-ensemble assemble, or "
            f"unset {KEY_VARIABLE} if you trust its origin"
        )


def _scoring_videos(model, path):
    """Refuse a rule on scores, which holds no detectors."""
    if not hasattr(model, "detectors_"):
        raise typer.BadParameter(
            f"{path} is a rule on tables of scores and holds no detectors; use it "
            f"with deepfake-ensemble apply {path} scores.csv"
        )
    return model


def check_labelled(path: Path, beside: "pd.DataFrame", fake_label: str | None) -> None:
    """Refuse labels and groups that nothing can be learned from, by file and video.

    Parameters
    ----------
    path : Path
        The table of scores.
    beside : DataFrame
        Its ``label``, in all rows, and ``group``, in all or none; by video.
    fake_label : str or None
        As it was given.
    """
    from base_models.errors import ScoreTableError, refusing
    from base_models.inputs import clean_labels, encode_labels, label_as_given
    from ensemble.scores.table import check_complete

    with refusing(ScoreTableError, path, plain=True):
        labels = clean_labels(beside["label"])
        kinds = {label: (labels == label).sum() for label in dict.fromkeys(labels)}
        if len(kinds) > 2:
            rare = min(reversed(kinds), key=kinds.__getitem__)
            raise ValueError(
                f"labels are of two kinds, real and fake; got {len(kinds)}: "
                f"{', '.join(sorted(map(str, kinds))[:10])}, of which {rare} is rarest "
                f"and first that of {beside.index[labels == rare][0]!r}; leave out "
                "videos that are neither, or name the column of labels (--label)"
            )
        encode_labels(labels, label_as_given(fake_label, labels.tolist()))
        if beside["group"].notna().any():
            check_complete(
                beside["group"],
                "group",
                "fill them in, drop these rows, give each of them a group of its own, "
                "or take another column for the groups (--group)",
            )
