"""What detectors share that look at views and train a network."""

import warnings

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from base_models.augmentation.augment import resolve_augment
from base_models.augmentation.pseudo_fakes import resolve_pseudo_fakes
from base_models.detectors.bases.video import ViewDetector, with_fingerprints
from base_models.errors import UnscorableVideoError, VideoReadError
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.groups import group_codes
from base_models.inference.engines import check_engine, run_frozen
from base_models.inputs import check_fit_arguments
from base_models.networks.forward import forward
from base_models.runtime.devices import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.runtime.distributed import joined_processes, n_processes
from base_models.runtime.warn_once import caller_has_warned
from base_models.scoring.pooling import pool_scores
from base_models.store.keys import class_key
from base_models.store.store import KeptState, resolve_store, store_key
from base_models.store.versions import is_own
from base_models.training.image_batches import ImageSamples, SizedFakes
from base_models.training.loop import train_network
from base_models.training.recipe import TrainingRecipe
from base_models.training.timing import seconds_per_step, steps_per_epoch, warn_if_slow
from base_models.training.validation import Validation, held_out_groups
from base_models.video.paths import video_digest, video_id
from base_models.views.collection import Views
from base_models.views.spec import ViewRecipe


class NetworkDetector(ViewDetector):
    """Base class of detectors in which a torch network looks at single images.

    A subclass builds the network and says how its images are prepared; sampling,
    training, scoring and pooling are the same for all.
    """

    code_version = 1  # raise it as `base_models.store.versions.own_versions` says
    key_libraries = ("timm", "torch")
    _clip_length = 1  # frames in a row that the network sees at once

    def fit(self, videos, y, groups=None, sample_weight=None):
        """Train on labelled videos.

        Parameters
        ----------
        videos : sequence of length n_videos
            Paths, or RGB uint8 arrays of shape (T, H, W, 3).
        y : array-like of shape (n_videos,)
            Two labels: 0 and 1 (fake), "REAL" and "FAKE", booleans. All may be real
            where the fakes are made of them: see `pseudo_fakes`.
        groups : array-like of shape (n_videos,), default=None
            Videos that are drawn equally often together, and never split between
            training and the choice of the best epoch.
        sample_weight : array-like of shape (n_videos,), default=None
            Weights within each class; real and fake weigh the same in all.

        Returns
        -------
        self
            A video without a view (unreadable, no face) is left out, with a
            warning that names it.
        """
        videos, is_fake, weight, self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=self.fits_on_reals
        )
        groups = group_codes(groups, len(videos))
        self._check_training()
        check_engine(self.engine)
        self.recipe_ = self._view_recipe()
        store = resolve_store(self.store)
        # The order in which videos are given must not matter to what is learned.
        order = sorted(
            np.flatnonzero(weight > 0),
            key=lambda row: (_digest(videos[row]), is_fake[row], weight[row]),
        )
        given = [videos[row] for row in order]
        processes = joined_processes(resolve_device(self.device))
        if processes.n > 1:  # each makes its share, and finds the others' in the store
            Views(given[processes.share], self.recipe_, store)
            processes.wait()
        text = self._progress("looking at videos")
        views = Views(given, self.recipe_, store, progress=text)
        scorable = [i for i, reason in enumerate(views.reasons) if not reason]
        self.unscorable_ = {
            video_id(videos[order[i]]): reason
            for i, reason in enumerate(views.reasons)
            if reason
        }
        if self.unscorable_:
            error = UnscorableVideoError(self.unscorable_)
            left = np.unique(is_fake[[order[i] for i in scorable]])
            if len(left) < len(np.unique(is_fake)):
                raise error  # nothing is left of one class
            if not caller_has_warned():
                warnings.warn(f"left out of training: {error}", stacklevel=2)
            views = views.take(scorable)
        rows = [order[i] for i in scorable]
        groups = pd.factorize(groups[rows])[0]  # numbered in an order of our own
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        seed = processes.agree(seed)
        with repeatable(seed, resolve_threads(self.n_threads)):
            self._fit(views, is_fake[rows], weight[rows], groups, seed, store)
        return self

    def view_recipes(self):
        """Return the one `ViewRecipe` that the network looks at, in a list."""
        return self._in_use([self._view_recipe()])

    def score_views(self, views, shared):
        """Score one video from its views; see `ViewDetector.score_views`."""
        view = views[self._recipe_in_use().key]
        score = np.zeros(0)
        if not view.reason:
            with fixed_threads(resolve_threads(self.n_threads)):
                score = self._image_scores(view, shared)
        frames = pd.DataFrame(
            {"frame": view.frames, "face": view.faces, "score": score}
        )
        return pool_scores(score, self.pooling), view.reason, frames

    def identity(self):
        """Return what decides the outcome of a fit, beside the videos.

        Returns
        -------
        dict
            Ready for `store_key`.

        Raises
        ------
        TypeError
            If a parameter has no stable description.
        """
        ignored = {"store", "verbose", "device", "engine", "n_threads", "finder"}
        params = with_fingerprints(self.get_params(deep=False))
        identity = {
            "class": class_key(type(self)),
            "params": {k: v for k, v in params.items() if k not in ignored},
            "view": self._view_recipe().stable_key,
            "threads": resolve_threads(self.n_threads),
            "device": resolve_device(self.device).type,
        }
        if n_processes() > 1:  # each normalises by what it sees
            identity["processes"] = n_processes()
        return identity

    def get_state(self, portable=True):
        """Return what was learned, without anything executable.

        Parameters
        ----------
        portable : bool, default=True
            Include frozen weights that could be had again from where they came.

        Returns
        -------
        meta : dict
            Ready for JSON.
        arrays : dict of str to ndarray
            The network's weights.
        """
        check_is_fitted(self)
        head_alone = not portable and self._stands_on_known_weights()
        learned = (
            self.module_.head.state_dict(prefix="head.")
            if head_alone
            else self.module_.state_dict()
        )
        arrays = {
            # Convolutions are channels last here; what is kept has the plain order.
            name: np.asarray(value.cpu(), order="C")
            for name, value in learned.items()
        }
        meta = {
            "classes": self.classes_.tolist(),
            "history": self.history_,
            "unscorable": self.unscorable_,
            "weights_key": getattr(self, "weights_key_", None),
        }
        return meta, arrays

    def set_state(self, meta, arrays):
        """Become the fitted detector that `get_state` described.

        Parameters
        ----------
        meta, arrays
            From `get_state` of a detector with the same parameters.

        Returns
        -------
        self
        """
        self.classes_ = np.array(meta["classes"])
        self.history_, self.unscorable_ = meta["history"], meta["unscorable"]
        if meta["weights_key"] is not None:
            self.weights_key_ = meta["weights_key"]
        self.recipe_ = self._view_recipe()
        with repeatable(0, resolve_threads(self.n_threads)):
            network = self._rebuild(list(arrays))
        state = {name: torch.from_numpy(value) for name, value in arrays.items()}
        if state and all(name.startswith("head.") for name in state):
            head = {name.removeprefix("head."): value for name, value in state.items()}
            network.head.load_state_dict(head)
        else:
            network.load_state_dict(state)
        self.module_ = network.eval()
        return self

    def estimate_fit_seconds(self, n_videos):
        """Return about how many seconds a fit takes here, views not counted.

        Parameters
        ----------
        n_videos : int
            Videos in the training set.

        Returns
        -------
        float
            Measured on one training step; 0 where not all of the network is trained,
            or not on a CPU.
        """
        if self.train != "full" or resolve_device(self.device).type != "cpu":
            return 0.0
        with repeatable(0, resolve_threads(self.n_threads)):
            return self._estimate(self._build(trained=False), n_videos)

    def _stands_on_known_weights(self):
        """Whether all but the head can be had again from where it came."""
        return False

    def _estimate(self, network, n_videos):
        steps = self.epochs * steps_per_epoch(
            n_videos, self.frames_per_epoch, self.batch_size
        )
        device = resolve_device(self.device)
        size = self._view_recipe().image_size
        return steps * seconds_per_step(network, size, self.batch_size, device)

    @property
    def fits_on_reals(self):
        """Whether `fit` can do with real videos alone: on pseudo-fakes made of them."""
        trains = self.train == "full"
        return (
            trains and self.pseudo_fakes is not None and self.pseudo_fakes is not False
        )

    def _check_training(self):
        """Refuse training parameters that cannot work, before any work."""
        self._recipe().check()
        resolve_augment(self.augment)
        made = resolve_pseudo_fakes(self.pseudo_fakes, [0, 1])
        if self.train != "full" and made is not None:
            raise ValueError(
                f"pseudo_fakes need train='full'; got train={self.train!r}"
            )

    def _recipe(self):
        return TrainingRecipe() if self.recipe is None else self.recipe

    def _train(self, network, views, is_fake, weight, groups, seed, store, staged):
        """Train all of a network; on a CPU, say so first when it will take long."""
        recipe, device = self._recipe(), resolve_device(self.device)
        fakes = resolve_pseudo_fakes(self.pseudo_fakes, is_fake)
        sources, landmarks = views, None
        if device.type == "cpu" and not caller_has_warned():
            with repeatable(0, resolve_threads(self.n_threads)):
                pairs = 2 if fakes else 1
                warn_if_slow(pairs * self._estimate(network, len(views)), str(self))
        if fakes is not None:
            fakes = SizedFakes(fakes, self.recipe_.image_size)
            text = self._progress("looking at more of the videos")
            sources, landmarks = fakes.sources(views, store, text)
        learn, held = held_out_groups(is_fake, groups, recipe.validation, seed)
        samples = ImageSamples(
            views.take(learn),
            is_fake[learn],
            groups[learn],
            weight[learn],
            self._preprocess,
            frames_per_epoch=self.frames_per_epoch,
            batch_size=self.batch_size,
            balance_groups=recipe.balance_groups,
            mixup=recipe.mixup,
            pairs=recipe.pairs,
            augment=resolve_augment(self.augment, self.recipe_.clip_length),
            pseudo_fakes=fakes,
            landmarks=None if fakes is None else landmarks.take(learn),
            sources=sources.take(learn),
            ahead=self._draws_alone(),
            seed=seed,
        )
        validate = None
        if len(held):
            validate = Validation(
                (views if is_fake.any() else sources).take(held),
                is_fake[held],
                self._scorer(self._preprocess),
                fakes,
                None if fakes is None else landmarks.take(held),
                seed,
            )
        keep = self._keep(store, views, is_fake, weight, groups, seed)
        self._run(network, samples, validate, seed, keep, staged)
        self.module_ = network

    def _draws_alone(self):
        """Whether all that changes images draws from generators of its own."""
        changing = self.augment, self.pseudo_fakes, getattr(self, "transform", None)
        foreign = [c for c in changing if callable(c) and not is_own(c)]
        return is_own(self) and not foreign

    def _run(self, network, samples, validate, seed, keep, staged):
        """Train a network on samples, alone or with other processes."""
        device = resolve_device(self.device)
        self.history_ = train_network(
            network,
            samples,
            self._recipe(),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            staged=staged,
            validate=validate,
            device=device,
            seed=seed,
            keep=keep,
            processes=joined_processes(device),
            progress=self._progress(f"{self} training"),
            name=str(self),
        )

    def _scorer(self, preprocess):
        """What gives P(fake) of each of the inputs of a network."""
        device = resolve_device(self.device)

        def score(network, inputs):
            return fake_probability(forward(network, preprocess, inputs, device))

        return score

    def _keep(self, store, views, is_fake, weight, groups, seed):
        """Where an interrupted training is kept; None if it cannot be told again."""
        try:
            key = store_key(
                detector=self.identity(),
                views=views.keys,
                is_fake=is_fake,
                weight=weight,
                groups=groups,
                seed=seed,
            )
        except TypeError:
            return None
        return KeptState(store, "training", key)

    def _image_scores(self, view, shared):
        return fake_probability(self._run_frozen(self.module_, view.images))

    def _run_frozen(self, network, images):
        return run_frozen(
            network,
            self._preparation(),
            images,
            self.engine,
            self.n_threads,
            self.device,
            self.store,
        )

    def _preparation(self):
        """How images become inputs: a Recipe where it is one, which engines take in."""
        return self._preprocess

    def _view_recipe(self):
        return ViewRecipe(
            view=self.view,
            image_size=self._image_size(),
            n_frames=self.n_frames,
            faces=self.faces,
            margin=self.margin,
            align=self.align,
            finder=DlibFaceFinder() if self.finder is None else self.finder,
            clip_length=self._clip_length,
        )

    def _progress(self, text):
        return text if self.verbose else None


def fake_probability(logits):
    """P(fake) from logits in the order real, fake: (n_images, 2) to (n_images,)."""
    logits = logits.astype(float)
    return expit(logits[:, 1] - logits[:, 0])


def _digest(video):
    try:
        return video_digest(video)
    except VideoReadError:  # it will be left out, with the reason
        return ""
