"""Who is filmed: faces of the bundled pictures, and people in footage."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.file_writing import replacing
from ensemble.datasets.forge.camera import (
    Portrait,
    Recording,
    find_landmarks,
    paint_portrait,
)
from ensemble.datasets.forge.jobs import CASTING, PERSON, in_parallel, rng_for

N_BUNDLED, BUNDLED_SIZE = 100, 192
_NOBODY = np.empty((0, 68, 2))  # the landmarks that are kept of footage without a face


def bundled_people(
    n_identities: int, size: int, seed: int, n_jobs: int | None, verbose: int | bool
) -> dict[int, Portrait]:
    """Paint and pose the bundled faces.

    Parameters
    ----------
    n_identities : int
        The first so many, in an order that is drawn.
    size : int
        Width and height of the frames, pixels.
    seed : int
    n_jobs : int or None
    verbose : int or bool

    Returns
    -------
    dict of int to Portrait
        By the number of the picture.
    """
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise ImportError(
            "the bundled faces are scikit-image's, which is not installed; "
            "pip install 'deepfake-ensemble[demo]', or pass footage as sources="
        ) from error
    pictures = lfw_subset()[:N_BUNDLED]  # what follows them are no faces
    numbers = rng_for(seed, CASTING).permutation(N_BUNDLED)[:n_identities].tolist()
    jobs = [
        (pictures[number], size, rng_for(seed, PERSON, number)) for number in numbers
    ]
    painted = in_parallel(_paint, jobs, n_jobs, verbose, "painting faces")
    found = [landmarks for _, landmarks in painted if landmarks is not None]
    if not found:
        raise ValueError(
            f"no landmarks found on any of {n_identities} bundled faces; ask for more, "
            "or for a larger size"
        )
    # The pictures are aligned: where no face is found, the others' mean will do.
    usual = np.mean(found, axis=0)
    return {
        number: Portrait(scene, usual if landmarks is None else landmarks, size)
        for number, (scene, landmarks) in zip(numbers, painted, strict=True)
    }


def _paint(picture, size, rng):
    scene = paint_portrait(picture, size, rng)
    return scene, find_landmarks(scene)


def recorded_people(
    sources: Sequence[Any],
    content: Sequence[Sequence[str]],
    numbers: Iterable[int],
    n_frames: int,
    size: int | None,
    seed: int,
    n_jobs: int | None,
    verbose: int | bool,
    keep: Path | None = None,
) -> dict[int, Recording]:
    """Follow the face in footage.

    Parameters
    ----------
    sources : list of video
    content : list of (digest, person)
        Of each source, as `content_of` gives it.
    numbers : iterable of int
        Those of `sources` that are looked at.
    n_frames : int
        Length of the pieces.
    size : int or None
        Shorter side of the frames, pixels.
    seed : int
    n_jobs : int or None
    verbose : int or bool
    keep : Path or None, default=None
        A folder for the landmarks, where they are found again.

    Returns
    -------
    dict of int to Recording
        By the number of the source, in the order of `numbers`.

    Warns
    -----
    UserWarning
        For each source that is left out: unreadable, or without a face to follow.
    """
    numbers = [int(number) for number in numbers]
    jobs = [
        (
            sources[number],
            n_frames,
            size,
            rng_for(seed, PERSON, number),
            content[number][0],
            None if keep is None else keep / f"{number}.npy",
        )
        for number in numbers
    ]
    people = {}
    results = in_parallel(_record, jobs, n_jobs, verbose, "following faces")
    for number, found in zip(numbers, results, strict=True):
        if isinstance(found, Recording):
            people[number] = found
        else:
            warnings.warn(
                f"{found}; this source is left out",
                DeepfakeEnsembleWarning,
                stacklevel=3,
            )
    return people


def _record(source, n_frames, size, rng, digest, kept):
    """A recording, or why there is none."""
    from base_models.errors import NoFaceError, VideoReadError

    landmarks = np.load(kept) if kept is not None and kept.exists() else None
    try:
        if landmarks is not None and not len(landmarks):
            raise NoFaceError(str(source), n_frames)
        recording = Recording(source, n_frames, size, rng, landmarks, digest)
    except VideoReadError as error:
        return str(error)
    except NoFaceError:
        _keep(kept, _NOBODY)
        of_side = "" if size is None else f" at a shorter side of {size} pixels"
        return (
            f"in fewer than half of {n_frames} frames of {source} a face was found"
            f"{of_side}; take another source"
            + ("" if size is None else " or a larger size=")
        )
    _keep(kept, recording.landmarks)
    return recording


def _keep(path, landmarks):
    if path is not None and not path.exists():
        with replacing(path) as unfinished:
            np.save(unfinished, landmarks)


def check_size(size: int | None, n_frames: int) -> None:
    """Refuse frames, or a number of them, that cannot be forged."""
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1; got {n_frames}")
    if size is not None and (size < 64 or size % 2):
        raise ValueError(f"size must be even and at least 64 pixels; got {size}")


def identities_of(
    sources: Sequence[Any] | None, source_groups: Sequence[Any] | None
) -> list[Any] | None:
    """Who is seen in each source; None for the bundled faces."""
    if sources is None:
        if source_groups is not None:
            raise ValueError("source_groups is given without sources; give both")
        return None
    if source_groups is None:
        return list(range(len(sources)))
    if len(source_groups) != len(sources):
        raise ValueError(
            "source_groups must have one entry per source; got "
            f"{len(source_groups)} for {len(sources)} sources"
        )
    return list(source_groups)


def content_of(
    sources: Sequence[Any] | None, identities: Sequence[Any] | None
) -> str | list[list[str]]:
    """What is forged from, for a recipe: digest and person of each source.

    Raises
    ------
    ValueError
        If one video stands for two people.
    """
    if sources is None or identities is None:
        return "lfw_subset"
    from base_models.video.paths import video_digest

    digests = [video_digest(source) for source in sources]
    first: dict[str, int] = {}
    for number, (digest, identity) in enumerate(zip(digests, identities, strict=True)):
        twin = first.setdefault(digest, number)
        if identities[twin] != identity:
            named = [sources[i] for i in (twin, number)]
            paths = ", ".join(str(s) for s in named if isinstance(s, str | Path))
            raise ValueError(
                f"sources {twin} and {number} are the same video"
                + (f" ({paths})" if paths else "")
                + " but stand for two people; drop one, or give both the same entry in "
                "source_groups"
            )
    return [list(map(str, one)) for one in zip(digests, identities, strict=True)]
