"""What commands are given: videos, saved models, and detectors by name."""

import zipfile
from collections.abc import Iterable
from pathlib import Path


def split_names(text: str) -> list[str]:
    """Split names that are given by comma.

    Examples
    --------
    >>> from ensemble.cli.inputs import split_names
    >>> split_names("soft, stacking,")
    ['soft', 'stacking']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def videos_at(paths: Iterable[Path]) -> list[str]:
    """Replace folders by the videos in them; a folder of frame images is a video."""
    from base_models.video.paths import list_videos

    videos = []
    for path in paths:
        listed = list_videos(path) if _is_folder(path) else []
        videos += [str(video) for video in listed] or [str(path)]
    return videos


def _is_folder(path):
    try:
        return path.is_dir()
    except OSError:  # it cannot even be looked at: so says who reads it
        return False


def labelled_videos_at(data: Path, encoding: str | None):
    """Read a folder with real/ and fake/, or a table, of videos that are all there.

    Returns
    -------
    LabelledVideos
        As from `ensemble.datasets.read_videos`.
    """
    from ensemble.datasets import read_videos

    labelled = read_videos(data, encoding)
    videos = labelled[0]
    lost = [video for video in videos if not Path(video).exists()]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ValueError(
            f"{data} names {len(lost)} of {len(videos)} videos that are not there: "
            f"{', '.join(lost[:3])}{more}; mend the paths, or take these lines out"
        )
    return labelled


def named_detectors(
    backbones: str,
    views: str,
    train: str,
    weights: str,
    image_size: int | None,
    n_frames: int,
    epochs: int,
) -> list:
    """Return a `FrameDetector` for each backbone and view, both given by comma."""
    from base_models import FrameDetector

    return [
        FrameDetector(
            backbone,
            view=view,
            train=train,
            weights=None if weights == "none" else weights,
            image_size=image_size,
            n_frames=n_frames,
            epochs=epochs,
        )
        for backbone in split_names(backbones)
        for view in split_names(views)
    ]


def open_ensemble(
    path: Path,
    device: str | None,
    quiet: bool,
    threshold: str | None = None,
    prior: float | None = None,
):
    """Load a `DeepfakeEnsemble`; set what was asked for, refuse what it cannot do."""
    import ensemble
    from ensemble.decision.named_thresholds import parse_threshold
    from ensemble.decision.prior import check_prior

    check_prior(prior)
    if threshold is not None:
        parse_threshold(threshold)
    model = ensemble.load(path, device=device)
    asked = {"threshold": threshold, "prior": prior}
    asked = {name: value for name, value in asked.items() if value is not None}
    model.set_params(verbose=not quiet, **asked)
    _ = model.thresholds_  # what it cannot do is told before any video is opened
    return model


def open_model(path: Path):
    """Load a `DeepfakeEnsemble`, or a checkpoint as a detector, on the CPU."""
    import ensemble
    from base_models import load_checkpoint

    if zipfile.is_zipfile(path):  # PyTorch's checkpoints are archives too
        with zipfile.ZipFile(path) as archive:
            if "manifest.json" in archive.namelist():
                return ensemble.load(path, device="cpu")
    return load_checkpoint(path, device="cpu")
