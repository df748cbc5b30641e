"""How the forge works: jobs side by side, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# What random numbers are drawn for.
CASTING, PERSON, PAIR, FILM, GRAIN, FORGERY = range(6)


def in_parallel(
    function: Callable[..., Any],
    jobs: Sequence[tuple],
    n_jobs: int | None,
    verbose: int | bool,
    what: str,
) -> list[Any]:
    """Call the function with each job's arguments; the results in the jobs' order."""
    from tqdm import tqdm

    from base_models.runtime.parallel import run_tasks

    came = run_tasks(function, jobs, n_jobs)
    # disable=None: no bar where nobody is watching.
    bar = tqdm(came, what, len(jobs), disable=None if verbose else True)
    results = dict(bar)
    return [results[number] for number in range(len(jobs))]


def rng_for(seed: int, *purpose: int) -> np.random.Generator:
    """Independent random numbers for each purpose, whatever else is drawn."""
    return np.random.default_rng([seed, *map(int, purpose)])


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A seed from what scikit-learn calls a random state."""
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        if random_state < 0:
            raise ValueError(f"random_state must not be negative; got {random_state}")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
