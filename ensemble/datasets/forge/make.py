"""Makes the labelled set: who is filmed, who is swapped, what is written where."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.file_writing import replacing
from ensemble.datasets.forge.casting import (
    BUNDLED_SIZE,
    N_BUNDLED,
    bundled_people,
    check_size,
    content_of,
    identities_of,
    recorded_people,
)
from ensemble.datasets.forge.delivery import crfs_of, with_grain, write_ladder
from ensemble.datasets.forge.face_swap import METHODS, SwapStyle, swap_clip
from ensemble.datasets.forge.folder import alone_in, was_begun, write_recipe
from ensemble.datasets.forge.jobs import CASTING, PAIR, in_parallel, rng_for, seed_of
from ensemble.datasets.loading import read_videos

if TYPE_CHECKING:
    from ensemble.datasets.kinds.base import LabelledVideos

_FOLDERS = ("real", "fake")  # by label
_INDEX = "videos.csv"
_CLIP = re.compile(r"pair\d{3,}_[ab]\d*_(raw|c23|c40)\.mp4")  # as `_deliver` names it
_COLUMNS = ("path", "label", "group", "method", "digest")
_FORMAT = 1  # raised when the same recipe comes to give other clips


def make_forgeries(
    out_dir: str | Path,
    sources: Sequence[Any] | None = None,
    n_identities: int = 100,
    compression: str | Sequence[str] = "c23",
    n_frames: int = 24,
    size: int | None = None,
    source_groups: Sequence[Any] | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> LabelledVideos:
    """Write a small labelled set of clips: real ones and classical face swaps.

    People are paired off once, and the two of a pair swap faces: of every clip there
    is the real one and a swap that wears the partner's face, all of them one group.
    Real and fake clips pass through the same steps with draws of the same kind
    (motion, light, noise, codec), so that nothing but the swap tells them apart.

    The clips serve to try things out. They are far easier than what is met in the
    wild, and no accuracy measured on them says anything about it.

    Parameters
    ----------
    out_dir : str or Path
        Folder to write, with ``real/``, ``fake/`` and ``videos.csv`` (path, label,
        group, method) in it. One that already holds the same set is used as it is;
        one that holds anything else is refused.
    sources : list of video or None, default=None
        Real footage to forge from, one face in each (paths or arrays). None takes
        the 100 small photographs of faces that scikit-image ships, enlarged, set
        into a painted scene and filmed by a virtual camera; this needs the extra
        ``demo``, as do the landmarks of real footage.
    n_identities : int, default=100
        People, an even number, at most 100 for the bundled faces; of `sources` at
        most that many are used. An odd one out is left out with a warning.
    compression : {"raw", "c23", "c40"} or list of them, default="c23"
        H.264 at a constant rate factor of 3, 23 or 40; of each clip one file for
        each compression named.
    n_frames : int, default=24
        Length of the clips. A pair with a shorter source is cut to its length.
    size : int or None, default=None
        Shorter side of the frames in pixels; None means 192 for the bundled faces
        and footage as it is.
    source_groups : list or None, default=None
        Who is seen in each source; None means somebody else in each. Clips of one
        person are never swapped with each other.
    random_state : int, RandomState or None, default=None
        The same int gives the same files, byte for byte, whatever `n_jobs`.
    n_jobs : int or None, default=None
        Pairs forged at once, as joblib counts.
    verbose : int, default=1
        0 shows no progress bar; there is none outside a terminal either.

    Returns
    -------
    LabelledVideos
        ``videos, labels, groups, methods``: paths, 0 real and 1 fake, who must not
        cross folds (a pair of people), and ``"none"``, ``"swap_poisson"`` (piecewise
        affine warp, Poisson blending) or ``"swap_feathered"`` (affine warp, feathered
        edge).

    Warns
    -----
    UserWarning
        A source was left out: no face can be followed in it, or no partner is left.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble.datasets import make_forgeries
    >>> videos, labels, groups, methods = make_forgeries(
    ...     tempfile.mkdtemp(), n_identities=2, n_frames=4, random_state=0
    ... )
    >>> labels, groups
    ([0, 1, 0, 1], ['pair000', 'pair000', 'pair000', 'pair000'])
    >>> sorted(methods)
    ['none', 'none', 'swap_feathered', 'swap_poisson']
    """
    out_dir = Path(out_dir)
    crfs = crfs_of(compression)
    _check(sources, n_identities)
    check_size(size, n_frames)
    identities = identities_of(sources, source_groups)
    seed = seed_of(random_state)
    content = content_of(sources, identities)
    recipe = {
        "format": _FORMAT,
        "sources": content,
        "n_identities": int(n_identities),
        "compression": sorted(crfs),
        "n_frames": int(n_frames),
        "size": None if size is None else int(size),
        "random_state": None if random_state is None else seed,
    }
    if was_begun(out_dir, recipe) and _is_whole(out_dir):
        return read_videos(out_dir)
    if sources is None or identities is None:
        faces = bundled_people(
            n_identities, size or BUNDLED_SIZE, seed, n_jobs, verbose
        )
        people: list[list] = [[face] for face in faces.values()]
    else:
        numbers = range(len(sources))
        recordings = recorded_people(
            sources, content, numbers, n_frames, size, seed, n_jobs, verbose
        )
        people = _cast(recordings, identities, n_identities, seed)
    with alone_in(out_dir):
        if was_begun(out_dir, recipe) and _is_whole(out_dir):  # by another run
            return read_videos(out_dir)
        _start(out_dir, recipe)
        pairs = zip(people[::2], people[1::2], strict=True)
        jobs = [
            (
                out_dir,
                f"pair{number:03d}",
                pair,
                n_frames,
                crfs,
                rng_for(seed, PAIR, number),
            )
            for number, pair in enumerate(pairs)
        ]
        rows = in_parallel(_forge_pair, jobs, n_jobs, verbose, "forging pairs")
        _write_index(out_dir, chain.from_iterable(rows))
    return read_videos(out_dir)


def _cast(recordings, identities, n_identities, seed):
    """An even number of people, each a list of one or more clips, in drawn order."""
    clips: dict[Any, list] = {}
    for number, recording in recordings.items():
        clips.setdefault(identities[number], []).append(recording)
    order = rng_for(seed, CASTING).permutation(len(clips))[:n_identities]
    people = [list(clips.values())[i] for i in order]
    if len(people) < 2:
        raise ValueError(
            f"a swap takes two people; a face could be followed in the footage of "
            f"{len(people)}; add sources that show one face well"
        )
    if len(people) % 2:
        left_over = ", ".join(clip.name for clip in people.pop())
        warnings.warn(
            f"no partner is left to swap with {left_over}; left out",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    return people


# Clips


def _forge_pair(out_dir, group, pair, n_frames, crfs, rng):
    """Write all clips of two people who swap faces; give their rows of the index."""
    rows = []
    n_frames = min(n_frames, *(clip.n_frames for person in pair for clip in person))
    turn = rng.integers(2)
    for side, (person, partner) in enumerate([pair, pair[::-1]]):
        for take, clip in enumerate(person):
            name = f"{group}_{'ab'[side]}" + (f"{take}" if len(person) > 1 else "")
            frames, _ = clip.film(n_frames, rng)
            for path in _deliver(out_dir, 0, name, frames, "real", clip.fps, crfs, rng):
                rows.append((path, 0, group, "none"))

            method = METHODS[(turn + side + take) % len(METHODS)]
            target = clip.film(n_frames, rng)
            source = partner[take % len(partner)].film(n_frames, rng)
            style = SwapStyle.draw(rng, method)
            frames = swap_clip(target, source, style, rng)
            what = f"fake ({method})"
            for path in _deliver(out_dir, 1, name, frames, what, clip.fps, crfs, rng):
                rows.append((path, 1, group, method))
    return rows


def _deliver(out_dir, label, name, frames, what, fps, crfs, rng):
    """The last step of every clip: grain over the whole frame, then the codec."""
    paths = {
        f"{_FOLDERS[label]}/{name}_{compression}.mp4": crf
        for compression, crf in crfs.items()
    }
    files = {out_dir / path: crf for path, crf in paths.items()}
    write_ladder(files, with_grain(frames, rng), what, fps)
    return paths


# The folder


def _is_whole(out_dir):
    """Whether all clips are there, each as it was written."""
    if not (out_dir / _INDEX).is_file():
        return False
    with open(out_dir / _INDEX, newline="", encoding="utf-8", errors="replace") as file:
        clips = [
            (out_dir / str(r.get("path")), r.get("digest"))
            for r in csv.DictReader(file)
        ]
    return bool(clips) and all(
        clip.is_file() and file_sha256(clip) == digest for clip, digest in clips
    )


def _start(out_dir, recipe):
    """Say what the folder will hold; what an interrupted run left there goes."""
    for folder in _FOLDERS:
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
        for clip in (out_dir / folder).glob("pair*.mp4"):
            if _CLIP.fullmatch(clip.name):
                clip.unlink()
    (out_dir / _INDEX).unlink(missing_ok=True)
    write_recipe(out_dir, recipe)


def _write_index(out_dir, rows):
    """Written last: a folder without it is not complete."""
    with (
        replacing(out_dir / _INDEX) as unfinished,
        open(
            unfinished, "w", newline="", encoding="utf-8", errors="backslashreplace"
        ) as file,
    ):
        digested = ((*row, file_sha256(out_dir / row[0])) for row in rows)
        csv.writer(file).writerows([_COLUMNS, *digested])


def _check(sources, n_identities):
    if isinstance(sources, str | Path):
        raise TypeError(f"sources must be a list of videos; got one path, {sources}")
    most = N_BUNDLED if sources is None else np.inf
    if not 2 <= n_identities <= most or n_identities % 2:
        raise ValueError(
            "n_identities must be even and at least 2"
            + (f", at most {most} for the bundled faces" if sources is None else "")
            + f"; got {n_identities}"
        )
