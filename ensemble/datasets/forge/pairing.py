"""Who is paired with whom: clips of different people, and the split of each pair."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.datasets.forge.camera import Portrait, Recording
from ensemble.datasets.forge.casting import N_BUNDLED, bundled_people, recorded_people
from ensemble.datasets.forge.jobs import CASTING, rng_for
from ensemble.datasets.kinds.faceforensics import LISTS


@dataclass(frozen=True)
class CastClip:
    """One clip of the cast.

    Attributes
    ----------
    number : int
        Of the source, or of the bundled picture; what is drawn for it goes by that.
    person : str
        Who is seen.
    source : str
        Where it comes from.
    digest : str
        Of the source; empty for a bundled picture.
    footage : Portrait or Recording
    """

    number: int
    person: str
    source: str
    digest: str
    footage: Portrait | Recording


Pair = tuple[CastClip, CastClip]


def cast_portraits(
    pairs: int | None, size: int, seed: int, n_jobs: int | None, verbose: int | bool
) -> list[Pair]:
    """Pair off bundled faces; None is all of them."""
    wanted = N_BUNDLED if pairs is None else 2 * pairs
    faces = bundled_people(wanted, size, seed, n_jobs, verbose)
    clips = [
        CastClip(number, f"lfw_subset {number}", f"lfw_subset {number}", "", face)
        for number, face in faces.items()
    ]
    return list(zip(clips[::2], clips[1::2], strict=True))


def cast_recordings(
    sources: Sequence[Any],
    content: Sequence[Sequence[str]],
    pairs: int | None,
    n_frames: int,
    size: int | None,
    seed: int,
    n_jobs: int | None,
    verbose: int | bool,
    keep: Path,
) -> list[Pair]:
    """Follow faces, no more than are needed, and pair the clips off.

    Parameters
    ----------
    sources : list of video
    content : list of (digest, person)
        Of each source.
    pairs : int or None
        None is as many as there are.
    n_frames : int
    size : int or None
    seed : int
    n_jobs : int or None
    verbose : int or bool
    keep : Path
        Folder for the landmarks, where they are found again.

    Returns
    -------
    list of (CastClip, CastClip)

    Warns
    -----
    UserWarning
        For what is left out.
    """
    wanted = len(sources) if pairs is None else pairs
    waiting = rng_for(seed, CASTING).permutation(len(sources)).tolist()
    clips: list[CastClip] = []
    cast: list[Pair] = []
    alone: list[CastClip] = []
    while waiting and len(cast) < wanted:
        missing = 2 * (wanted - len(cast))
        batch, waiting = waiting[:missing], waiting[missing:]
        found = recorded_people(
            sources, content, batch, n_frames, size, seed, n_jobs, verbose, keep
        )
        for number, recording in found.items():
            digest, person = content[number]
            clips.append(
                CastClip(number, person, str(recording.name), digest, recording)
            )
        cast, alone = pair_off(clips)
    if not cast:
        raise ValueError(
            "a forgery takes two people; a face could be followed in the footage of "
            f"{len({clip.person for clip in clips})}; add sources that show one face "
            "well"
        )
    if alone and len(cast) < wanted:
        left_over = ", ".join(clip.source for clip in alone)
        warnings.warn(
            f"no partner is left for {left_over}; left out",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    if pairs is not None and len(cast) < pairs:
        warnings.warn(
            f"the footage gives {len(cast)} pairs, {pairs} were asked for",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    return cast[:wanted]


def pair_off(clips: Sequence[CastClip]) -> tuple[list[Pair], list[CastClip]]:
    """Pair clips of different people, few of whom meet more than one partner.

    The two who have most clips left share all that both have, then the next two.

    Parameters
    ----------
    clips : list of CastClip

    Returns
    -------
    pairs : list of (CastClip, CastClip)
        Each clip in one pair at most.
    alone : list of CastClip
        Those that are left, of one person.
    """
    waiting: dict[str, list[CastClip]] = {}
    for clip in clips:
        waiting.setdefault(clip.person, []).append(clip)
    pairs: list[Pair] = []
    while len(waiting) > 1:
        first, second = sorted(waiting, key=lambda who: -len(waiting[who]))[:2]
        both = list(zip(waiting[first], waiting[second], strict=False))
        pairs += both
        for who in (first, second):
            waiting[who] = waiting[who][len(both) :]
            if not waiting[who]:
                del waiting[who]
    return pairs, [clip for left in waiting.values() for clip in left]


def describe(cast: Sequence[Pair], n_frames: int) -> list[dict[str, dict]]:
    """Say of each pair who its two are, by the numbers that they go by.

    Parameters
    ----------
    cast : list of (CastClip, CastClip)
    n_frames : int
        Length of the clips; of a pair with a shorter source, that of the source.

    Returns
    -------
    list of dict of str to dict
    """
    people = []
    for number, pair in enumerate(cast):
        length = int(min(n_frames, *(clip.footage.n_frames for clip in pair)))
        people.append(
            {
                f"{2 * number + side:03d}": {
                    "person": clip.person,
                    "source": clip.source,
                    "digest": clip.digest,
                    "first_frame": getattr(clip.footage, "start", 0),
                    "frames": length,
                    "fps": float(clip.footage.fps),
                }
                for side, clip in enumerate(pair)
            }
        )
    return people


def split_pairs(
    people: Sequence[Mapping[str, Mapping]], shares: Sequence[float]
) -> dict[str, list[tuple[str, ...]]]:
    """Put pairs into train, val and test; who share a person stay together.

    Parameters
    ----------
    people : list of dict
        As `describe` gives them.
    shares : (train, val, test)
        Shares of the pairs. Where there are enough pairs none of the three is empty.

    Returns
    -------
    dict of str to list of pairs of ids

    Examples
    --------
    >>> from ensemble.datasets.forge.pairing import split_pairs
    >>> people = [{"000": {"person": "ann"}, "001": {"person": "bob"}},
    ...           {"002": {"person": "cleo"}, "003": {"person": "bob"}},
    ...           {"004": {"person": "dan"}, "005": {"person": "eve"}}]
    >>> split_pairs(people, (0.6, 0, 0.4))
    {'train': [('000', '001'), ('002', '003')], 'val': [], 'test': [('004', '005')]}
    """
    together: list[tuple[set, list]] = []
    for pair in people:
        who, ids = {one["person"] for one in pair.values()}, [tuple(pair)]
        for others, their_ids in [known for known in together if known[0] & who]:
            who, ids = who | others, their_ids + ids
        together = [known for known in together if not known[0] & who] + [(who, ids)]
    together.sort(key=lambda known: -len(known[1]))
    wanted = {n: s * len(people) for n, s in zip(LISTS, shares, strict=True)}
    splits: dict[str, list] = {name: [] for name in LISTS}
    for left, (_, ids) in zip(range(len(together), 0, -1), together, strict=True):
        empty = [name for name in LISTS if wanted[name] and not splits[name]]
        lag = {name: wanted[name] - len(splits[name]) for name in LISTS}
        splits[max(empty if left <= len(empty) else LISTS, key=lag.__getitem__)] += ids
    return {name: sorted(ids) for name, ids in splits.items()}
