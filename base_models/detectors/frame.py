"""A network that scores frames or face crops; the video's score pools them."""

import warnings
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from base_models.augment import resolve_augment
from base_models.backbones import (
    backbone_recipe,
    build_frozen,
    build_network,
    starts_random,
    state_digest,
    weights_digest,
)
from base_models.checkpoints import published_facts, read_card
from base_models.compute import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.detectors.base import (
    ViewDetector,
    check_fit_arguments,
    with_fingerprints,
)
from base_models.engines import check_engine, engine_key, run_frozen
from base_models.errors import UnscorableVideoError
from base_models.faces import DlibFaceFinder
from base_models.inputs import group_codes
from base_models.keys import class_key, class_key_here, is_own, library_version
from base_models.named_file import NamedFile
from base_models.parallel import joined_processes, n_processes
from base_models.pooling import pool_scores
from base_models.progress import progress_bar
from base_models.pseudo_fakes import resolve_pseudo_fakes
from base_models.recipe import TrainingRecipe
from base_models.samples import FeatureSamples, ImageSamples, SizedFakes
from base_models.stages import split_last_stage
from base_models.store import KeptState, resolve_store, store_key
from base_models.training import (
    forward,
    seconds_per_step,
    steps_per_epoch,
    train_network,
    warn_if_slow,
)
from base_models.validation import Validation, held_out_groups
from base_models.video import VideoReadError, video_digest, video_id
from base_models.views import ViewRecipe, Views
from base_models.warned import caller_has_warned


class NetworkDetector(ViewDetector):
    """Base class of detectors in which a torch network looks at single images.

    A subclass builds the network and says how its images are prepared; sampling,
    training, scoring and pooling are the same for all.
    """

    code_version = 1  # raise it as `base_models.keys.own_versions` says
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
            return _fake_probability(forward(network, preprocess, inputs, device))

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
        return _fake_probability(self._run_frozen(self.module_, view.images))

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


class FrameDetector(NetworkDetector):
    """Score the frames or face crops of a video with an image network.

    Parameters
    ----------
    backbone : str, default="xception"
        ``xception`` (timm's legacy_xception, 299 px), ``efficientnet``
        (tf_efficientnet_b4, 380 px; ``efficientnet_b0`` to ``b7``,
        ``efficientnet_lite0`` to ``lite4``), ``resnet`` (resnet50, 224 px;
        ``resnet18``, ``resnet34``, ``resnet101``), ``vgg16``, ``vgg19``,
        ``mesonet4`` and ``mesoinception4`` (256 px, small enough for a CPU), or any
        name that timm knows.
    view : {"face", "frame", "crop"}, default="face"
        A crop around the face, the whole frame, or videos that are face crops
        already.
    train : {"full", "last_stage", "head"}, default="full"
        ``"full"`` fine-tunes the whole network. ``"last_stage"`` computes all but
        its last stage once, of images and mirror images (half precision, kept in
        the store; no other augmentation), and trains the last stage and the head.
        ``"head"`` freezes the network, computes its features once and fits a
        logistic head: fast, and weak, because ImageNet features hardly see
        forgeries: AUC 0.52, chance, on 67 clips of FaceForensics++ split by source.
    weights : "imagenet", str, Path or None, default="imagenet"
        What to start from: an installed weight package or timm's hub (none for
        MesoNet, which starts random); the file or folder of a checkpoint; None for
        random weights. For a checkpoint as it is: `base_models.load_checkpoint`.
    image_size : int or None, default=None
        Side of the square input, pixels; None is the size of the backbone.
    channels : {"rgb", "residual", "motion"}, default="rgb"
        Show the network colours, or what colours hide, so that it errs differently
        beside one of colours. ``"residual"``: three high-pass residuals of the
        brightness (`base_models.residual.noise_residual`), the noise that forging
        disturbs. ``"motion"``: how three frames in a row differ
        (`base_models.residual.motion_residual`), since most forgeries are made frame
        by frame.
    n_frames : int, default=16
        Frames sampled evenly over the whole video; for ``"motion"`` the middle ones of
        three.
    pooling : str or callable, default="mean"
        Frame scores to video score: see `base_models.pool_scores`.
    faces : {"largest", "all"}, default="largest"
        Which face to follow when there are several; ``"all"`` pools over them.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    margin : float, default=1.3
        Side of the crop, in sides of the face box (the FaceForensics++ margin).
    align : bool, default=False
        Turn crops so that the eyes are level; the finder must give landmarks.
    epochs : int, default=10
        Passes over the training videos.
    frames_per_epoch : int, default=4
        Frames drawn anew from each video in each pass.
    batch_size : int, default=16
        Frames in a step.
    learning_rate : float, default=3e-4
        The peak of one cycle.
    weight_decay : float, default=0.01
        AdamW's.
    dropout : float, default=0.2
        Before the head, in training.
    augment : bool or callable, default=True
        Change images by chance, for ``train="full"``. True is
        ``base_models.augment.Augmentation()``, for ``"motion"``
        ``Augmentation.of_clips()``; or any ``(image, draw, landmarks) -> image``.
    pseudo_fakes : "auto", bool or callable, default="auto"
        Train on fakes made of the real faces: of each real frame drawn, the frame
        and its pseudo-fake, beside real fakes if there are any; where these are few,
        that helped EfficientNet-lite0 and ResNet-18, and not MesoNet
        (``examples/benchmarks/README.md``). True is
        ``base_models.pseudo_fakes.PseudoFakes()``, which needs the extra ``demo``
        for landmarks; or any ``(image, landmarks, draw, donor) -> (real, fake)``,
        which may ask for larger images: see `base_models.samples.SizedFakes`. "auto"
        does so where all labels are real.
    recipe : TrainingRecipe or None, default=None
        How to train beside all this; None is ``TrainingRecipe()``.
    C : float, default=0.01
        Inverse regularisation of the logistic head, for ``train="head"``.
    n_threads : int or None, default=None
        CPU threads of one fit or scoring run, whatever runs beside it; None is
        all cores up to 4.
    random_state : int, RandomState or None, default=None
        Seeds the weights that start random, the frames drawn, their order and
        augmentation. None is another seed each time.
    store : Store, str, Path or None, default=None
        Where views and features are kept; None is the user's default store.
    device : str or None, default=None
        None is a GPU where there is one.
    engine : {"auto", "torch", "onnxruntime", "openvino"}, default="auto"
        What runs the network when it does not learn: "auto" is the fastest for it of
        those installed (extras ``onnx`` and ``openvino``), equal to torch within 1e-4;
        on a GPU torch in mixed precision. See `base_models.engines.run_frozen`.
    verbose : bool, default=False
        Show progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    module_ : FrameNetwork
        The network; logits in the order real, fake. With ``train="head"`` its body
        belongs to all detectors of equal weights: copy it before you change it.
    recipe_ : ViewRecipe
        What it looks at.
    history_ : list of dict
        Per epoch: loss, learning rate, seconds, and what the choice of the best epoch
        saw; empty for ``train="head"``.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> shades = np.repeat([40, 200], 4)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None,
    ...     image_size=32, n_frames=2, random_state=0,
    ... )
    >>> detector.fit(videos, shades > 100).predict(videos[::4])
    array([False,  True])
    """

    code_version = 1

    def __init__(
        self,
        backbone="xception",
        view="face",
        train="full",
        weights="imagenet",
        image_size=None,
        channels="rgb",
        n_frames=16,
        pooling="mean",
        faces="largest",
        finder=None,
        margin=1.3,
        align=False,
        epochs=10,
        frames_per_epoch=4,
        batch_size=16,
        learning_rate=3e-4,
        weight_decay=0.01,
        dropout=0.2,
        augment=True,
        pseudo_fakes="auto",
        recipe=None,
        C=0.01,
        n_threads=None,
        random_state=None,
        store=None,
        device=None,
        engine="auto",
        verbose=False,
    ):
        self.backbone = backbone
        self.view = view
        self.train = train
        self.weights = weights
        self.image_size = image_size
        self.channels = channels
        self.n_frames = n_frames
        self.pooling = pooling
        self.faces = faces
        self.finder = finder
        self.margin = margin
        self.align = align
        self.epochs = epochs
        self.frames_per_epoch = frames_per_epoch
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.augment = augment
        self.pseudo_fakes = pseudo_fakes
        self.recipe = recipe
        self.C = C
        self.n_threads = n_threads
        self.random_state = random_state
        self.store = store
        self.device = device
        self.engine = engine
        self.verbose = verbose

    def __str__(self):
        seen = "" if self.channels == "rgb" else f"_{self.channels}"
        return f"{self.backbone}_{self.view}{seen}"

    def fit(self, videos, y, groups=None, sample_weight=None):
        if self.train not in ("full", "last_stage", "head"):
            raise ValueError(
                f"train must be 'full', 'last_stage' or 'head'; got {self.train!r}"
            )
        self._preparation()  # misspelt? before any work
        return super().fit(videos, y, groups, sample_weight)

    fit.__doc__ = NetworkDetector.fit.__doc__

    @property
    def card_(self):
        """Of the checkpoint whose weights it started from: what those have seen."""
        if self.weights in (None, "imagenet"):
            raise AttributeError("card_: the weights are no checkpoint's")
        if isinstance(self.weights, NamedFile):  # of a saved model: not opened
            source = PurePath(self.weights.name).name
            return {"source": source, **published_facts(source)}
        facts = published_facts(self.weights)
        return read_card(self.weights) or {"source": Path(self.weights).name, **facts}

    def identity(self):
        identity = super().identity()
        identity["params"]["weights"] = weights_digest(self.backbone, self.weights)
        if self.train != "full":  # it learns from what the frozen part puts out
            identity |= engine_key(self.engine, self.device)
        if self.train == "head":
            identity["sklearn"] = library_version("sklearn")
        return identity

    def _fit(self, views, is_fake, weight, groups, seed, store):
        network = self._build()
        if self.train == "full":
            staged = not starts_random(self.backbone, self.weights)
            self._train(network, views, is_fake, weight, groups, seed, store, staged)
            return
        if self.train == "last_stage":
            self._train_last_stage(network, views, is_fake, weight, groups, seed, store)
            return
        self.module_, self.history_ = network.eval(), []
        self.weights_key_ = self._weights_key(network)
        bar = progress_bar(views, self._progress(f"{self} features"))
        features = [self._features(view, store) for view in bar]
        counts = np.array([len(rows) for rows in features])
        per_image = np.repeat(weight / counts, counts)
        _fit_head(
            network.head,
            np.concatenate(features),
            np.repeat(is_fake, counts),
            per_image * (len(is_fake) / per_image.sum()),
            self.C,
        )

    def _train_last_stage(self, network, views, is_fake, weight, groups, seed, store):
        """Compute the frozen part once, mirrored too; train what stands on it."""
        recipe, device = self._recipe(), resolve_device(self.device)
        trunk, tail = split_last_stage(network.to(device), self.recipe_.image_size)
        self.weights_key_ = self._weights_key(network)
        bar = progress_bar(views, self._progress(f"{self} features"))
        maps = [self._stage_maps(view, trunk.eval(), store) for view in bar]
        learn, held = held_out_groups(is_fake, groups, recipe.validation, seed)
        samples = FeatureSamples(
            [maps[row] for row in learn],
            is_fake[learn],
            groups[learn],
            weight[learn],
            frames_per_epoch=self.frames_per_epoch,
            batch_size=self.batch_size,
            balance_groups=recipe.balance_groups,
            seed=seed,
        )
        validate = None
        if len(held):
            validate = Validation(
                [maps[row][0].astype(np.float32) for row in held],
                is_fake[held],
                self._scorer(torch.Tensor.float),
            )
        keep = self._keep(store, views, is_fake, weight, groups, seed)
        staged = not starts_random(self.backbone, self.weights)
        self._run(tail, samples, validate, seed, keep, staged)
        network.load_state_dict({**network.state_dict(), **tail.state_dict()})
        self.module_ = network.eval()

    def _stage_maps(self, view, trunk, store):
        """What the last stage takes, of images and mirror images: (2, n_images, ...).

        Kept in half precision, 0.05 % of each value.
        """
        key = store_key(stage=trunk.stage, features=self._feature_key(view))
        entry = store.get("features", key)
        if entry is not None:
            return entry[0]["features"]
        maps = np.stack(
            [
                self._run_frozen(trunk, images)
                for images in (view.images, view.images[..., ::-1, :].copy())
            ]
        ).astype(np.float16)
        store.put("features", key, {"features": maps})
        return maps

    def _weights_key(self, network):
        if starts_random(self.backbone, self.weights):
            return state_digest(network.backbone)
        return weights_digest(self.backbone, self.weights)

    def _image_scores(self, view, shared):
        if self.train != "head":
            return super()._image_scores(view, shared)
        key = self._feature_key(view)
        if key not in shared:
            shared[key] = self._features(view, resolve_store(self.store))
        head = self.module_.head
        logits = torch.nn.functional.linear(
            torch.from_numpy(shared[key]).double(),
            head.weight.detach().cpu().double(),
            head.bias.detach().cpu().double(),
        )
        return _fake_probability(logits.numpy())

    def _features(self, view, store):
        """Return the frozen network's features (n_images, n_features)."""
        key = self._feature_key(view)
        entry = store.get("features", key)
        if entry is None:
            features = self._run_frozen(self.module_.backbone, view.images)
            store.put("features", key, {"features": features})
            return features
        return entry[0]["features"]

    def _feature_key(self, view):
        return store_key(
            by=class_key_here(type(self)),
            view=view.key,
            backbone=self.backbone,
            weights=self.weights_key_,
            channels=self.channels,
            threads=resolve_threads(self.n_threads),
            device=resolve_device(self.device).type,
            **engine_key(self.engine, self.device),
        )

    def _build(self, trained=True):
        how = self.dropout, self._image_size()
        if not trained:
            return build_network(self.backbone, None, *how)
        if self.train == "head":
            device = resolve_device(self.device)
            return build_frozen(self.backbone, self.weights, *how, device)
        return build_network(self.backbone, self.weights, *how)

    def _stands_on_known_weights(self):
        return self.train == "head" and not starts_random(self.backbone, self.weights)

    def _rebuild(self, names):
        # A head kept alone stands on the weights that it was fitted on.
        return self._build(trained=not any(n.startswith("backbone.") for n in names))

    def _image_size(self):
        return self._preparation().image_size

    @property
    def _clip_length(self):
        return 3 if self.channels == "motion" else 1

    def _preparation(self):
        return backbone_recipe(self.backbone, self.image_size, self.channels)

    def _preprocess(self, images):
        return self._preparation().normalise(images)


def _fit_head(head, features, is_fake, weight, C):
    """Fit a class-balanced logistic regression; leave it in a layer of two logits."""
    scaler = StandardScaler().fit(features, sample_weight=weight)
    model = LogisticRegression(C=C, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(features), is_fake, sample_weight=weight)
    slope = model.coef_[0] / scaler.scale_
    offset = model.intercept_[0] - slope @ scaler.mean_
    with torch.no_grad():
        head.weight[0], head.bias[0] = 0, 0
        head.weight[1], head.bias[1] = torch.from_numpy(slope), float(offset)


def _fake_probability(logits):
    """P(fake) from logits in the order real, fake: (n_images, 2) to (n_images,)."""
    logits = logits.astype(float)
    return expit(logits[:, 1] - logits[:, 0])


def _digest(video):
    try:
        return video_digest(video)
    except VideoReadError:  # it will be left out, with the reason
        return ""
