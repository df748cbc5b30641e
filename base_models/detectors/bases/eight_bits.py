"""What detectors share whose network can run in 8 bits: ranges of its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.inference.engines import engine_key
from base_models.inference.int8 import Ranges, checked_ranges, find_ranges
from base_models.inputs import Videos, as_videos
from base_models.scoring.sharing import walk_videos
from base_models.views.view import View

if TYPE_CHECKING:
    from typing_extensions import Self

_N_IMAGES = 32


class InEightBits:
    """Finds and keeps the ranges that ``engine="int8"`` needs.

    Attributes
    ----------
    int8_ranges_ : dict
        From `find_ranges`; a detector that is fitted anew, or cloned, has none.
    """

    def find_ranges(self, videos: Videos) -> Self:
        """Find within which ranges activations lie, so that 8 bits can run.

        Nothing but ``engine="int8"`` uses them. What lies outside of them is cut off
        there.

        Parameters
        ----------
        videos : sequence
            Like those to come, such as some that it was trained on: 32 of their images
            are looked at, as many of each.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no video has a view.
        """
        check_is_fitted(self)
        network, preparation = self._network_that_runs()
        videos = as_videos(videos)
        each = -(-_N_IMAGES // max(len(videos), 1))
        parts = []
        for views in walk_videos([self], videos, self.store):  # type: ignore[attr-defined]
            view = views[self._recipe_in_use().key]  # type: ignore[attr-defined]
            if not view.reason and len(view.images):
                images = self._images_that_run(view)
                rows = np.linspace(0, len(images) - 1, min(each, len(images)))
                parts.append(images[rows.round().astype(int)])
        if not parts:
            raise ValueError(
                f"none of {len(videos)} videos has a view to find ranges on"
            )
        self.int8_ranges_ = find_ranges(
            network,
            preparation,
            np.concatenate(parts),
            self.n_threads,  # type: ignore[attr-defined]
            self.store,  # type: ignore[attr-defined]
        )
        return self

    def _fit_parts(self, videos: Any, y: Any, groups: Any, sample_weight: Any) -> None:
        """Forget the ranges of what was learned before."""
        self._take_ranges(None)

    def _network_that_runs(self) -> tuple[Any, Any]:
        """Return the network that scores, and what prepares its images."""
        raise NotImplementedError

    def _images_that_run(self, view: View) -> Any:
        """Return the images of a view as the network takes them."""
        return view.images

    def _ranges(self) -> Ranges | None:
        return vars(self).get("int8_ranges_")

    def _engine_key(self) -> dict[Any, Any]:
        """Return what of the engine decides the bits of what it gives."""
        return engine_key(
            self.engine,  # type: ignore[attr-defined]
            self.device,  # type: ignore[attr-defined]
            self._ranges(),
        )

    def _take_ranges(self, ranges: Any) -> None:
        """Keep ranges, or drop them: None."""
        if ranges is None:
            vars(self).pop("int8_ranges_", None)
        else:
            self.int8_ranges_ = ranges

    def _hand_ranges_to(self, extractor: Any) -> None:
        """Let the detector inside run on our ranges, and never on its own."""
        InEightBits._take_ranges(extractor, self._ranges())

    def _ranges_state(self) -> dict[str, Any]:
        """Return what `get_state` adds; nothing, where there is nothing."""
        ranges = self._ranges()
        return {} if ranges is None else {"int8_ranges": ranges}

    def _take_ranges_state(self, meta: dict[str, Any]) -> None:
        """Keep what `_ranges_state` gave; older files have none."""
        ranges = meta.get("int8_ranges")
        self._take_ranges(None if ranges is None else checked_ranges(ranges))
