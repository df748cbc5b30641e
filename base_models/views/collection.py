"""The views of many videos, made or read when asked for: `Views`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar
from base_models.views.making import iter_views, make_views

if TYPE_CHECKING:
    from base_models.store.store import Store
    from base_models.views.spec import ViewRecipe

_MOST_MAPPED = 128  # files that one `Views` holds open


class Views(Sequence):
    """The views of many videos under one recipe, on disk until they are used.

    Parameters
    ----------
    videos : list
        Paths or arrays.
    recipe : ViewRecipe
        What is wanted.
    store : Store
        Where the views are.
    memory : int, default=2**28
        Bytes of the views used last that stay in memory.
    progress : str or None, default=None
        What to write before a progress bar while looking at all of them once.

    Attributes
    ----------
    n_images : list of int
        Images of each video; 0 where there is a reason.
    reasons : list of str
        Why a video has no images; empty where it has some.
    keys : list of str
        What stands for the images of each video in the store.
    """

    def __init__(
        self,
        videos: list[Any],
        recipe: ViewRecipe,
        store: Store,
        memory: int = 2**28,
        progress: str | None = None,
    ) -> None:
        self.videos, self.recipe, self.store = list(videos), recipe, store
        self.memory = memory
        self._recent, self._used = OrderedDict(), 0
        self.n_images, self.reasons, self.keys = [], [], []
        made = iter_views(self.videos, [recipe], store)
        failures = Failures()
        for row, views in enumerate(progress_bar(made, progress, len(self.videos))):
            view = self._recall(row, views[recipe.key])
            failures.note(view.error)
            self.n_images.append(len(view.images))
            self.reasons.append(view.reason)
            self.keys.append(view.key)
        failures.check()

    def take(self, rows: Sequence[int] | np.ndarray) -> Views:
        """Return the views of some of the videos, without looking at them again.

        Parameters
        ----------
        rows : sequence of int

        Returns
        -------
        Views
        """
        videos = [self.videos[row] for row in rows]
        taken = Views([], self.recipe, self.store, self.memory)
        taken.videos = videos
        for name in ("n_images", "reasons", "keys"):
            setattr(taken, name, [getattr(self, name)[row] for row in rows])
        for place, row in enumerate(rows):
            if row in self._recent:
                taken._recent[place] = self._recent[row]
                taken._used += self._recent[row].images.nbytes
        return taken

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, row):
        if row in self._recent:
            self._recent.move_to_end(row)
            return self._recent[row]
        recipe = self.recipe
        made = make_views(self.videos[row], [recipe], self.store)
        return self._recall(row, made[recipe.key])

    def _recall(self, row, view):
        """Keep a view in memory, and no more of the others than there is room for."""
        self._recent[row] = view
        self._used += view.images.nbytes
        while len(self._recent) > 1 and (
            self._used > self.memory or len(self._recent) > _MOST_MAPPED
        ):
            _, oldest = self._recent.popitem(last=False)
            self._used -= oldest.images.nbytes
        return view
