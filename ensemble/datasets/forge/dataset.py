"""Forges a data set in the layout of FaceForensics++, with masks and a manifest."""

from __future__ import annotations

import filecmp
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from ensemble._version import __version__
from ensemble.choices import FORGERIES
from ensemble.datasets.forge.casting import (
    BUNDLED_SIZE,
    N_BUNDLED,
    check_size,
    content_of,
    identities_of,
)
from ensemble.datasets.forge.delivery import (
    CRF,
    LEVELS,
    crfs_of,
    with_grain,
    write_ladder,
)
from ensemble.datasets.forge.folder import alone_in, check_apart
from ensemble.datasets.forge.jobs import (
    FILM,
    FORGERY,
    GRAIN,
    in_parallel,
    rng_for,
    seed_of,
)
from ensemble.datasets.forge.methods import (
    METHOD,
    Film,
    changed_region,
    methods_named,
)
from ensemble.datasets.forge.pairing import (
    cast_portraits,
    cast_recordings,
    describe,
    split_pairs,
)
from ensemble.datasets.forge.tree import ForgedTree
from ensemble.datasets.loading import load_dataset
from ensemble.datasets.video_table import VideoTable

_FORMAT = 1  # raised when the same recipe comes to give other clips
_MADE_BY = f"deepfake-ensemble {__version__}, forge"
# In the tag of every file alike: a longer one would tell fakes by the size of the file.
_WHAT = "original, fake or mask, as manifest.json of its data set says"


def forge_dataset(
    sources: str | Path | Sequence[Any] | None,
    out: str | Path,
    *,
    methods: str | Sequence[str] | None = None,
    compression: str | Sequence[str] = ("raw", "c23", "c40"),
    pairs: int | None = None,
    n_frames: int = 50,
    size: int | None = None,
    shares: Sequence[float] = (0.72, 0.14, 0.14),
    source_groups: Sequence[Any] | None = None,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: int | bool = False,
) -> VideoTable:
    """Make fakes from real footage, laid out like FaceForensics++.

    Clips of different people are paired off, and each clip of a pair is forged after
    the other by every method. Originals and fakes pass through the same grain and
    codec, so that nothing but the forgery tells them apart. Each fake has a mask, and
    each file a tag that says that it is synthetic; ``manifest.json`` says how each was
    made, and ``load_dataset("faceforensics", out)`` reads the whole.

    The set is made for tests and augmentation. Such forgeries are far easier than what
    is met in the wild, and no accuracy measured on them says anything about it.

    Parameters
    ----------
    sources : str, Path, list of video, or None
        A folder of real footage, or a list of videos, one face in each. None takes
        the small photographs of faces that scikit-image ships, filmed by a virtual
        camera; as do the landmarks of footage, this needs the extra ``demo``.
    out : str or Path
        Folder to write; what an interrupted run of the same call left there is kept
        and completed, pair by pair. One that holds anything else is refused, and so
        is one in a folder of sources, whose next reader would take fakes for them.
    methods : str, list of str or None, default=None
        Of LandmarkSwap (the partner's face, warped onto the landmarks), BlendedRegion
        (a region of the partner's face, such as the eyes or the mouth),
        LipReenactment (the mouth opens as the partner's does) and SelfBlend (a region
        of the same face, with other colours or sharpness); None takes all.
    compression : str or list of str, default=("raw", "c23", "c40")
        H.264 at a constant rate factor of 3, 23 or 40; one file for each named.
    pairs : int or None, default=None
        How many pairs of clips; None takes all there are, at most 50 of the bundled
        faces.
    n_frames : int, default=50
        Length of the clips. A pair with a shorter source is cut to its length.
    size : int or None, default=None
        Shorter side of the frames in pixels; None means 192 for the bundled faces and
        footage as it is.
    shares : (train, val, test), default=(0.72, 0.14, 0.14)
        Shares of the pairs. People who are in one pair, or in one clip after another,
        stay together.
    source_groups : list or None, default=None
        Who is seen in each of a list of sources; None means somebody else in each.
        Nobody is paired with himself.
    random_state : int, RandomState or None, default=0
        The same int gives the same files, byte for byte, whatever `n_jobs`.
    n_jobs : int or None, default=None
        Sources, then pairs, at once, as joblib counts.
    verbose : int or bool, default=False
        Show progress bars on a terminal.

    Returns
    -------
    VideoTable

    Raises
    ------
    FileExistsError
        If `out` holds anything else.
    ValueError
        For unusable settings, an `out` in a folder of sources or above one, or where
        there are no two people.

    Warns
    -----
    UserWarning
        A source was left out: unreadable, without a face to follow, or without a
        partner. A fake was left out: no frame differs from its original.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble.datasets import forge_dataset
    >>> table = forge_dataset(
    ...     None, tempfile.mkdtemp(), methods="LipReenactment", compression="c23",
    ...     pairs=1, n_frames=2, size=96,
    ... )
    >>> table.table["video_id"].tolist()  # doctest: +NORMALIZE_WHITESPACE
    ['manipulated_sequences/LipReenactment/c23/videos/000_001.mp4',
     'manipulated_sequences/LipReenactment/c23/videos/001_000.mp4',
     'original_sequences/youtube/c23/videos/000.mp4',
     'original_sequences/youtube/c23/videos/001.mp4']
    >>> set(table.groups)
    {'ff/000_001'}
    """
    out = Path(out)
    names, crfs = methods_named(methods), crfs_of(compression)
    seed = seed_of(random_state)
    check_size(size, n_frames)
    shares = _check(sources, pairs, shares, out)
    if isinstance(sources, str | Path):
        sources = _videos_at(Path(sources), source_groups)
    content = content_of(sources, identities_of(sources, source_groups))
    recipe = {
        "format": _FORMAT,
        "layout": "faceforensics",
        "sources": content,
        "methods": names,
        "compression": list(crfs),
        "pairs": None if pairs is None else int(pairs),
        "n_frames": int(n_frames),
        "size": None if size is None else int(size),
        "shares": list(shares),
        "random_state": None if random_state is None else seed,
    }
    tree = ForgedTree(out, recipe)
    tree.check()
    if tree.is_whole():
        return load_dataset("faceforensics", out)
    settings = seed, n_jobs, verbose
    with alone_in(out):
        tree.check()  # now nobody changes it
        if tree.is_whole():
            return load_dataset("faceforensics", out)
        tree.begin()
        if sources is None:
            cast = cast_portraits(pairs, size or BUNDLED_SIZE, *settings)
        else:
            cast = cast_recordings(
                sources, content, pairs, n_frames, size, *settings, tree.landmarks
            )
        _forge_all(tree, cast, names, crfs, shares, n_frames, settings)
    return load_dataset("faceforensics", out)


def _forge_all(tree, cast, names, crfs, shares, n_frames, settings):
    """Forge the pairs that are not done, and write what lies beside the files."""
    seed, n_jobs, verbose = settings
    people = describe(cast, n_frames)
    todo = [
        (tree, who, pair, names, crfs, seed)
        for who, pair in zip(people, cast, strict=True)
        if tree.record(who) is None
    ]
    in_parallel(_forge_pair, todo, n_jobs, verbose, "forging pairs")
    records = [tree.record(who) or {} for who in people]
    for text in (text for record in records for text in record["left_out"]):
        warnings.warn(text, DeepfakeEnsembleWarning, stacklevel=3)
    tree.finish(records, split_pairs(people, shares), _MADE_BY)


# One pair


def _forge_pair(tree, people, pair, methods, crfs, seed):
    """Write all files of two clips, and the record of them."""
    files, left_out, films, originals = [], [], {}, {}
    length = next(iter(people.values()))["frames"]
    clips = dict(zip(people, pair, strict=True))
    for name, clip in clips.items():
        purpose = [seed, FILM, clip.number]
        film = Film(*clip.footage.film(length, rng_for(*purpose)), clip.footage.fps)
        films[name] = film
        paths = tree.files_of(crfs, name)
        _write(paths, film.frames, film.fps, clip.number, seed)
        originals[name] = {crf: path for path, crf in paths.items()}
        about = {"kind": "original", "target": name, "source": None, "method": "none",
                 "parameters": {}, "seed": purpose}  # fmt: skip
        files += _entries(tree, paths, about)
    for target, source in (tuple(people), tuple(people)[::-1]):
        for method in methods:
            uses_source, forge = METHOD[method]
            number = clips[target].number
            purpose = [seed, FORGERY, number, clips[source].number]
            purpose.append(FORGERIES.index(method))
            film = films[target]
            frames, parameters = forge(film, films[source], rng_for(*purpose))
            masks = changed_region(frames, film.frames)
            if not masks.any():
                left_out.append(
                    f"{method} left {target} after {source} as it was; no such fake is "
                    "written"
                )
                continue
            paths = tree.files_of(crfs, target, method, source)
            _write(paths, frames, film.fps, number, seed)
            for path in _copies(paths, originals[target]):
                left_out.append(
                    f"compression left nothing of {method} of {target} after {source} "
                    f"at {LEVELS[paths.pop(path)]}; no such fake is written"
                )
                path.unlink()
            if not paths:
                continue
            about = {"kind": "fake", "target": target,
                     "source": source if uses_source else None, "method": method,
                     "parameters": parameters, "seed": purpose}  # fmt: skip
            files += _entries(tree, paths, about)
            mask = {tree.mask_of(target, method, source): CRF["raw"]}
            grey = np.repeat(masks[..., None], 3, axis=-1)
            write_ladder(mask, grey, _WHAT, film.fps)
            files += _entries(tree, mask, about | {"kind": "mask"})
    tree.keep_record(people, {"left_out": left_out, "files": files})


def _copies(paths, originals):
    """Return the files of a fake that are their original, byte for byte."""
    return [
        path
        for path, crf in paths.items()
        if filecmp.cmp(path, originals[crf], shallow=False)
    ]


def _write(paths, frames, fps, number, seed):
    """Write a clip; the grain of a fake is that of the original that it was."""
    grainy = with_grain(frames, rng_for(seed, GRAIN, number))
    write_ladder(paths, grainy, _WHAT, fps)


def _entries(tree, paths, about):
    return [
        tree.entry(path, **about, compression=LEVELS[crf], crf=crf, made_by=_MADE_BY)
        for path, crf in paths.items()
    ]


# What was asked for


def _check(sources, pairs, shares, out):
    most = N_BUNDLED // 2
    if pairs is not None and (pairs < 1 or (sources is None and pairs > most)):
        raise ValueError(
            "pairs must be at least 1"
            + (f", at most {most} of the bundled faces" if sources is None else "")
            + f"; got {pairs}"
        )
    shares = [float(share) for share in shares]
    if len(shares) != 3 or min(shares) < 0 or not np.isclose(sum(shares), 1):
        raise ValueError(
            "shares must be three shares, train, val, test, that sum to 1; got "
            f"{shares}"
        )
    if isinstance(sources, str | Path):
        check_apart(out, [sources])
    elif sources is not None:
        paths = [video for video in sources if isinstance(video, str | os.PathLike)]
        check_apart(out, [Path(video).parent for video in paths])
    return shares


def _videos_at(folder, source_groups):
    from base_models.errors import VideoReadError
    from base_models.video.paths import list_videos, video_digest

    if source_groups is not None:
        raise ValueError(
            "source_groups goes with a list of sources; got a folder, "
            f"{folder}; list its videos"
        )
    found, left_out = list_videos(folder), []
    videos = []
    for video in found:
        try:
            video_digest(video)
            videos.append(video)
        except VideoReadError as error:  # a pipe, an empty file, one without rights
            left_out.append(f"{Path(video).name} ({error.reason})")
    if left_out:
        more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        warnings.warn(
            f"{len(left_out)} of {len(found)} videos in {folder} cannot be read and "
            f"are left out: {'; '.join(left_out[:5])}{more}",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    if not videos:
        raise ValueError(f"{folder} holds no videos; give a folder of real footage")
    return videos
