"""Images that an autoencoder remade once, for many fakes that are blended anew."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.augmentation.autoencoders import (
    autoencoder_key,
    load_autoencoder,
    reconstruct,
)
from base_models.runtime.devices import fixed_threads
from base_models.runtime.prefetch import look_ahead
from base_models.runtime.progress import progress_bar
from base_models.store.store import Store, store_key

if TYPE_CHECKING:
    from base_models.views.collection import Views

_CODE_VERSION = 1  # raise it when the same image comes back otherwise
_MORE = 1.5  # so many times the images that are needed: some are shown as other kinds
_MOST_OPEN = 32  # entries of the store in memory


def reconstructed(
    images: np.ndarray, autoencoder: str | Path, device: Any = "cpu"
) -> np.ndarray:
    """Return an image, or a clip, as an autoencoder gives it back.

    Parameters
    ----------
    images : ndarray of shape (H, W, 3) or (T, H, W, 3)
        RGB uint8. They decide what is drawn.
    autoencoder : str or Path
        See `load_autoencoder`.
    device : str or torch.device, default="cpu"

    Returns
    -------
    ndarray of the shape of `images`, uint8
    """
    return _reconstructed(images, load_autoencoder(autoencoder).to(device), device)


def _reconstructed(images, network, device):
    draw = np.random.default_rng(int.from_bytes(_digest(images)[:8], "big"))
    return reconstruct(images, network, draw, device)


class PooledFakes:
    """Pseudo-fakes of which ``reconstructed`` ones come from a pool.

    Parameters
    ----------
    maker : PseudoFakes
        With an autoencoder.
    views : Views
        What fakes are made of. Of each video a part of the images, spread evenly, is
        remade: half as many again as the share of the kind wants.
    store : Store
        Where the pool is kept, by content and settings.
    device : str or torch.device
        Where the autoencoder runs.
    progress : str or None, default=None
        What to write before a progress bar.
    """

    def __init__(
        self,
        maker: Any,
        views: Views,
        store: Store,
        device: Any = "cpu",
        progress: str | None = None,
    ) -> None:
        self._maker, self._store, self._device = maker, store, device
        shares = maker.shares()
        wanted = shares.pop("reconstructed")
        self._others = shares
        self._places, self._recent = {}, OrderedDict()
        self._fill(views, device, min(1.0, _MORE * wanted), progress)
        pooled = len(self._places) / max(1, sum(views.n_images))
        self._odds = min(1.0, wanted / pooled) if pooled else 0.0

    def __call__(
        self,
        image: np.ndarray,
        landmarks: np.ndarray,
        draw: np.random.Generator,
        donor: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make a pair, as `PseudoFakes` does."""
        known = self._places.get(_digest(image))
        odds = 0.0 if known is None else self._odds
        if not self._others:
            odds = 1.0
        rest = sum(self._others.values())
        shares = {name: (1 - odds) * n / rest for name, n in self._others.items()}
        shares["reconstructed"] = odds

        def remade(image):
            found = None if known is None else self._found(*known)
            if found is None:  # it was deleted, or could not be kept
                return reconstructed(image, self._maker.autoencoder, self._device)
            return found

        return self._maker.make(image, landmarks, draw, donor, False, shares, remade)

    def _fill(self, views, device, share, progress):
        """Have the images remade that are not in the store."""
        autoencoder, place = self._maker.autoencoder, str(device).partition(":")[0]
        by = autoencoder_key(autoencoder)
        missing = []
        for row, n in enumerate(views.n_images):
            at = np.unique(np.linspace(0, n - 1, max(1, round(share * n))).astype(int))
            key = store_key(
                reconstructed=_CODE_VERSION,
                view=views.keys[row],
                at=at,
                autoencoder=by,
                device=place,
            )
            images = views[row].images
            for number, image_at in enumerate(at):
                self._places[_digest(images[image_at])] = key, number
            if self._store.get("features", key, mapped=True) is None:
                missing.append((row, at, key))
        if not missing:
            return
        network = load_autoencoder(autoencoder).to(device)

        def remake(task):
            images, key = task
            return key, np.stack([_reconstructed(i, network, device) for i in images])

        tasks = ((views[row].images[at], key) for row, at, key in missing)
        n_workers = None if place == "cpu" else 0
        with fixed_threads(1):  # of each worker: more of them may round otherwise
            made = look_ahead(remake, tasks, n_workers, size=lambda m: m[1].nbytes)
            for key, images in progress_bar(made, progress, len(missing)):
                self._store.put("features", key, {"images": images})

    def _found(self, key, number):
        images = self._recent.get(key)
        if images is None:
            entry = self._store.get("features", key, mapped=True)
            if entry is None:
                return None
            images = entry[0]["images"]
        self._recent[key] = images
        self._recent.move_to_end(key)
        while len(self._recent) > _MOST_OPEN:
            self._recent.popitem(last=False)
        return np.array(images[number])


def _digest(image):
    return hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
