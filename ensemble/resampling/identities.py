"""People in videos -> groups: who shares a face must not cross folds."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import clean_groups

_MOST = 0.5  # share of the videos beyond which one group leaves folds little choice


def identity_groups(identities: Sequence[Any], rule: str = "connected") -> np.ndarray:
    """Join videos that share people into groups; a fake may show two people.

    Parameters
    ----------
    identities : sequence of length n_videos
        Who is in each video: one name or number, or several, the target of a fake
        (whose video it is) first, such as ``("000", "003")`` for ``000_003.mp4``.
    rule : {"connected", "target"}, default="connected"
        - "connected": videos with a person in common share a group, and so do videos
          that are linked through others: no person is in two groups;
        - "target": the first person alone decides. Weaker: the other one may be in
          several groups, and so on both sides of a split; a warning says of how many
          that holds. For data in which everybody is linked with everybody.

    Returns
    -------
    groups : ndarray of str of shape (n_videos,)
        Each named after the first of its people in sorted order, or after the target.

    Raises
    ------
    ValueError
        If a video has nobody, or the rule is another.

    Examples
    --------
    >>> from ensemble.resampling import identity_groups
    >>> identity_groups([("000", "003"), "003", "007", ("012", "007")]).tolist()
    ['000', '000', '007', '007']
    """
    if rule not in ("connected", "target"):
        raise ValueError(f"rule must be 'connected' or 'target'; got {rule!r}")
    people, video, place = _flat(identities)
    if rule == "target":
        return _by_target(people, video, place)
    names, person = np.unique(people, return_inverse=True)
    n_videos = len(identities)
    size = len(names) + n_videos  # people and videos are the nodes of one graph
    edges = coo_array(
        (np.ones(len(person)), (person, len(names) + video)), shape=(size, size)
    )
    component = connected_components(edges, directed=False)[1]
    first = {}
    for name, number in zip(names, component[: len(names)], strict=True):
        first.setdefault(number, name)
    groups = np.array([first[number] for number in component[len(names) :]])
    largest = np.unique(groups, return_counts=True)[1].max()
    if n_videos > 1 and largest > _MOST * n_videos:
        warnings.warn(
            f"{largest} of {n_videos} videos are in one group, since their people are "
            "linked through others: few splits are possible. Leave out videos of "
            "people from both sides, or take the weaker rule='target'",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )
    return groups


def _flat(identities):
    """Return people, and for each the row of the video and the place in it."""
    people, video, place = [], [], []
    for row, entry in enumerate(identities):
        several = isinstance(entry, list | tuple | set | frozenset | np.ndarray)
        those = list(entry) if several else [entry]
        if not those:
            raise ValueError(
                f"every video needs somebody, or a name of its own; row {row} has none"
            )
        if len(those) > 1 and isinstance(entry, set | frozenset):
            those = sorted(those, key=str)
        people += those
        video += [row] * len(those)
        place += range(len(those))
    if not people:
        raise ValueError("expected one entry per video; got none")
    people = clean_groups(people, len(people), what="people").astype(str)
    return people, np.array(video), np.array(place)


def _by_target(people, video, place):
    groups = people[place == 0]
    groups_of = {}
    for name, row in zip(people, video, strict=True):
        groups_of.setdefault(name, set()).add(groups[row])
    shared = {name for name, those in groups_of.items() if len(those) > 1}
    affected = {row for name, row in zip(people, video, strict=True) if name in shared}
    if shared:
        warnings.warn(
            f"{len(shared)} of {len(groups_of)} people are in several groups "
            f"({len(affected)} of {len(groups)} videos show them), as sources of "
            "fakes of others: they may be on both sides of a split, and scores may be "
            "optimistic",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    return groups
