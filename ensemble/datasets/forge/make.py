"""Makes the labelled set: who is filmed, who is swapped, what is written where."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.runtime.file_writing import replacing, write_text
from ensemble.datasets.forge.camera import (
    Portrait,
    Recording,
    add_grain,
    find_landmarks,
    paint_portrait,
)
from ensemble.datasets.forge.face_swap import METHODS, SwapStyle, swap_face
from ensemble.datasets.loading import read_videos

if TYPE_CHECKING:
    from ensemble.datasets.kinds.base import LabelledVideos

_CRF = {"raw": 3, "c23": 23, "c40": 40}
# x264's slower presets use its macroblock tree, whose AVX-512 code reads past the end
# of a row unless the width is a multiple of 128: the same frames then do not always
# give the same bytes.
_PRESET = "superfast"
_N_BUNDLED, _BUNDLED_SIZE = 100, 192
_FOLDERS = ("real", "fake")  # by label
_RECIPE, _INDEX = "forge.json", "videos.csv"
_CLIP = re.compile(r"pair\d{3,}_[ab]\d*_(raw|c23|c40)\.mp4")  # as `_deliver` names it
_COLUMNS = ("path", "label", "group", "method")
_FORMAT = 1  # raised when the same recipe comes to give other clips
_CASTING, _PERSON, _PAIR = range(3)  # what random numbers are drawn for


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
    crfs = _check_compression(compression)
    _check_counts(sources, n_identities, n_frames, size)
    identities = _check_sources(sources, source_groups)
    seed = _seed(random_state)
    recipe = {
        "format": _FORMAT,
        "sources": _content_of(sources, identities),
        "n_identities": int(n_identities),
        "compression": sorted(crfs),
        "n_frames": int(n_frames),
        "size": None if size is None else int(size),
        "random_state": None if random_state is None else seed,
    }
    if _is_done(out_dir, recipe):
        return read_videos(out_dir)

    if sources is None:
        people = _bundled_people(
            n_identities, size or _BUNDLED_SIZE, seed, n_jobs, verbose
        )
    else:
        people = _recorded_people(
            sources, identities, n_identities, n_frames, size, seed, n_jobs, verbose
        )
    _start(out_dir, recipe)
    pairs = zip(people[::2], people[1::2], strict=True)
    jobs = [
        (out_dir, f"pair{number:03d}", pair, n_frames, crfs, _rng(seed, _PAIR, number))
        for number, pair in enumerate(pairs)
    ]
    rows = _in_parallel(_forge_pair, jobs, n_jobs, verbose, "forging pairs")
    _write_index(out_dir, chain.from_iterable(rows))
    return read_videos(out_dir)


# People


def _bundled_people(n_identities, size, seed, n_jobs, verbose):
    """Paint and pose the bundled faces: one clip a person."""
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise ImportError(
            "the bundled faces are scikit-image's, which is not installed; "
            "pip install 'deepfake-ensemble[demo]', or pass footage as sources="
        ) from error
    pictures = lfw_subset()[:_N_BUNDLED]  # what follows them are no faces
    jobs = [
        (pictures[number], size, _rng(seed, _PERSON, number))
        for number in _rng(seed, _CASTING).permutation(_N_BUNDLED)[:n_identities]
    ]
    painted = _in_parallel(_paint, jobs, n_jobs, verbose, "painting faces")
    found = [landmarks for _, landmarks in painted if landmarks is not None]
    if not found:
        raise ValueError(
            f"no landmarks found on any of {n_identities} bundled faces; ask for more, "
            "or for a larger size"
        )
    # The pictures are aligned: where no face is found, the others' mean will do.
    usual = np.mean(found, axis=0)
    return [
        [Portrait(scene, usual if landmarks is None else landmarks, size)]
        for scene, landmarks in painted
    ]


def _paint(picture, size, rng):
    scene = paint_portrait(picture, size, rng)
    return scene, find_landmarks(scene)


def _recorded_people(
    sources, identities, n_identities, n_frames, size, seed, n_jobs, verbose
):
    """Follow the face in every source; a person is a list of one or more clips."""
    jobs = [
        (source, n_frames, size, _rng(seed, _PERSON, number))
        for number, source in enumerate(sources)
    ]
    people = {}
    for found, identity in zip(
        _in_parallel(_record, jobs, n_jobs, verbose, "following faces"),
        identities,
        strict=True,
    ):
        if isinstance(found, Recording):
            people.setdefault(identity, []).append(found)
        else:
            warnings.warn(f"{found}; this source is left out", stacklevel=3)
    order = _rng(seed, _CASTING).permutation(len(people))[:n_identities]
    people = [list(people.values())[i] for i in order]
    if len(people) < 2:
        raise ValueError(
            f"a swap takes two people; a face could be followed in the footage of "
            f"{len(people)}; add sources that show one face well"
        )
    if len(people) % 2:
        left_over = ", ".join(clip.name for clip in people.pop())
        warnings.warn(
            f"no partner is left to swap with {left_over}; left out", stacklevel=3
        )
    return people


def _record(source, n_frames, size, rng):
    """A recording, or why there is none."""
    from base_models.errors import NoFaceError

    try:
        return Recording(source, n_frames, size, rng)
    except NoFaceError:
        return (
            f"in fewer than half of {n_frames} frames of {source} a face was found at "
            f"a shorter side of {size} pixels; take another source or a larger size="
        )


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
            targets = zip(*clip.film(n_frames, rng), strict=True)
            sources = zip(
                *partner[take % len(partner)].film(n_frames, rng), strict=True
            )
            style = SwapStyle.draw(rng, method)
            frames = [
                swap_face(*target, *source, style, rng)
                for target, source in zip(targets, sources, strict=True)
            ]
            what = f"fake ({method})"
            for path in _deliver(out_dir, 1, name, frames, what, clip.fps, crfs, rng):
                rows.append((path, 1, group, method))
    return rows


def _deliver(out_dir, label, name, frames, what, fps, crfs, rng):
    """The last step of every clip: grain over the whole frame, then the codec."""
    from base_models.video.writing import write_video

    tags = {
        "title": "Synthetic sample",
        "comment": f"Synthetic sample made by deepfake-ensemble's forge: {what}",
    }
    frames = add_grain(frames, rng.uniform(0.5, 3), rng)
    paths = [f"{_FOLDERS[label]}/{name}_{compression}.mp4" for compression in crfs]
    for path, crf in zip(paths, crfs.values(), strict=True):
        write_video(out_dir / path, frames, fps=fps, crf=crf, preset=_PRESET, tags=tags)
    return paths


# The folder


def _is_done(out_dir, recipe):
    """Whether the folder holds the very set asked for; an error if another one."""
    if not out_dir.exists() or not any(out_dir.iterdir()):
        return False
    if not (out_dir / _RECIPE).exists():
        raise FileExistsError(
            f"{out_dir} is not empty and was not made by the forge; choose another "
            "out_dir"
        )
    before = json.loads((out_dir / _RECIPE).read_text("utf-8"))
    changed = [key for key in recipe if before.get(key) != recipe[key]]
    if changed:
        raise FileExistsError(
            f"{out_dir} holds clips that were forged with another "
            f"{', '.join(changed)} (see {_RECIPE} there); delete it or choose another "
            "out_dir"
        )
    return (out_dir / _INDEX).exists() and all(
        Path(video).exists() for video in read_videos(out_dir).videos
    )


def _start(out_dir, recipe):
    """Say what the folder will hold; what an interrupted run left there goes."""
    for folder in _FOLDERS:
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
        for clip in (out_dir / folder).glob("pair*.mp4"):
            if _CLIP.fullmatch(clip.name):
                clip.unlink()
    (out_dir / _INDEX).unlink(missing_ok=True)
    write_text(out_dir / _RECIPE, json.dumps(recipe, indent=1) + "\n")


def _write_index(out_dir, rows):
    """Written last: a folder without it is not complete."""
    with (
        replacing(out_dir / _INDEX) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([_COLUMNS, *rows])


# Small parts


def _in_parallel(function, jobs, n_jobs, verbose, what):
    """Call the function with each job's arguments; the results in the jobs' order."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(function)(*job) for job in jobs
    )
    # disable=None: no bar where nobody is watching.
    bar = tqdm(results, what, len(jobs), disable=None if verbose else True)
    return list(bar)


def _rng(seed, *purpose):
    """Independent random numbers for each purpose, whatever else is drawn."""
    return np.random.default_rng([seed, *map(int, purpose)])


def _seed(random_state):
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        if random_state < 0:
            raise ValueError(f"random_state must not be negative; got {random_state}")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _check_compression(compression):
    names = [compression] if isinstance(compression, str) else list(compression)
    unknown = [name for name in names if name not in _CRF]
    if unknown or not names:
        raise ValueError(
            f"compression must be one or more of {', '.join(_CRF)}; got {compression!r}"
        )
    return {name: crf for name, crf in _CRF.items() if name in names}


def _check_counts(sources, n_identities, n_frames, size):
    most = _N_BUNDLED if sources is None else np.inf
    if not 2 <= n_identities <= most or n_identities % 2:
        raise ValueError(
            "n_identities must be even and at least 2"
            + (f", at most {most} for the bundled faces" if sources is None else "")
            + f"; got {n_identities}"
        )
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1; got {n_frames}")
    if size is not None and (size < 64 or size % 2):
        raise ValueError(f"size must be even and at least 64 pixels; got {size}")


def _check_sources(sources, source_groups):
    """Who is seen in each source."""
    if sources is None:
        if source_groups is not None:
            raise ValueError("source_groups is given without sources; give both")
        return None
    if isinstance(sources, str | Path):
        raise TypeError(f"sources must be a list of videos; got one path, {sources}")
    if source_groups is None:
        return list(range(len(sources)))
    if len(source_groups) != len(sources):
        raise ValueError(
            "source_groups must have one entry per source; got "
            f"{len(source_groups)} for {len(sources)} sources"
        )
    return list(source_groups)


def _content_of(sources, identities):
    if sources is None:
        return "lfw_subset"
    from base_models.video.paths import video_digest

    digests = [video_digest(source) for source in sources]
    for number, (digest, identity) in enumerate(zip(digests, identities, strict=True)):
        twin = digests.index(digest)
        if identities[twin] != identity:
            raise ValueError(
                f"sources {twin} and {number} are the same video but stand for two "
                "people; drop one, or give both the same entry in source_groups"
            )
    return [list(map(str, one)) for one in zip(digests, identities, strict=True)]
