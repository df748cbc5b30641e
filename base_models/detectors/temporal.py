"""A recurrent network over frames' features: what changes from one to the next."""

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from base_models.compute import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.detectors.features import FeatureDetector
from base_models.detectors.frame import FrameDetector
from base_models.recipe import TrainingRecipe
from base_models.samples import Batch, video_shares
from base_models.store import resolve_store
from base_models.training import train_network
from base_models.validation import Validation, held_out_groups
from base_models.views import ViewRecipe


class LSTMDetector(FeatureDetector):
    """Score a video by the sequence of its frames' features.

    A frozen network turns each image into features, computed once and shared with
    ``FrameDetector(train="head")`` of the same backbone; an LSTM (Hochreiter and
    Schmidhuber, 1997) or GRU reads them in the order of time (as Güera and Delp, 2018,
    do). Sequences may differ in length: what is padded is masked and changes nothing.

    Parameters
    ----------
    backbone, view, weights, image_size, n_frames, faces, finder, margin, align
        As for `FrameDetector`, but for 32 frames. The better the network knows
        forgeries, the more the sequence says: give the file of a fine-tuned one.
    rnn : {"lstm", "gru"}, default="lstm"
        Kind of the cells.
    hidden_size : int, default=64
        Cells in each direction.
    dropout : float, default=0.3
        On features and before the head, in training.
    epochs : int, default=30
        Passes over the training videos.
    batch_size : int, default=16
        Sequences in a step.
    learning_rate, weight_decay : float, default=1e-3, 0.01
        The peak of the learning rate, and AdamW's decay.
    recipe : TrainingRecipe or None, default=None
        Of it hold warmup, label_smoothing, balance_groups, averaging, validation,
        patience and clip_norm.
    n_threads, random_state, store, device, verbose
        As for `FrameDetector`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    module_ : SequenceNetwork
        Logits in the order real, fake.
    history_ : list of dict
        Per epoch; see `FrameDetector`.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Notes
    -----
    A timeline has the score of the sequence up to each frame.

    References
    ----------
    Güera and Delp (2018), Deepfake video detection using recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import LSTMDetector
    >>> shades = np.repeat([40, 200], 6)  # dark videos are real, bright ones fake
    >>> videos = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in shades]
    >>> detector = LSTMDetector(
    ...     "test_resnet", view="frame", weights=None, image_size=32, n_frames=3,
    ...     epochs=10, learning_rate=0.01, random_state=0,
    ... )
    >>> detector.fit(videos, shades > 100).predict(videos[::6])
    array([False,  True])
    """

    def __init__(
        self,
        backbone="xception",
        view="face",
        weights="imagenet",
        image_size=None,
        n_frames=32,
        faces="largest",
        finder=None,
        margin=1.3,
        align=False,
        rnn="lstm",
        hidden_size=64,
        dropout=0.3,
        epochs=30,
        batch_size=16,
        learning_rate=1e-3,
        weight_decay=0.01,
        recipe=None,
        n_threads=None,
        random_state=None,
        store=None,
        device=None,
        verbose=False,
    ):
        self.backbone = backbone
        self.view = view
        self.weights = weights
        self.image_size = image_size
        self.n_frames = n_frames
        self.faces = faces
        self.finder = finder
        self.margin = margin
        self.align = align
        self.rnn = rnn
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.recipe = recipe
        self.n_threads = n_threads
        self.random_state = random_state
        self.store = store
        self.device = device
        self.verbose = verbose

    def __str__(self):
        return f"{self.backbone}_{self.rnn}_{self.view}"

    def fit(self, videos, y, groups=None, sample_weight=None):
        if self.rnn not in ("lstm", "gru"):
            raise ValueError(f"rnn must be 'lstm' or 'gru'; got {self.rnn!r}")
        self._recipe().check()
        self.extractor_ = self._new_extractor()
        return super().fit(videos, y, groups, sample_weight)

    fit.__doc__ = FeatureDetector.fit.__doc__

    def score_views(self, views, shared):
        """Score one video from its views; see `ViewDetector.score_views`."""
        view = views[self._view_recipe().key]
        frames = {"frame": view.frames, "face": view.faces, "score": np.zeros(0)}
        if view.reason:
            return np.nan, view.reason, pd.DataFrame(frames)
        features = self._features(view, resolve_store(self.store))
        scores, ends = np.zeros(len(features)), []
        for face in np.unique(view.faces):  # a sequence is one face's
            rows = np.flatnonzero(view.faces == face)
            scores[rows] = self._score_features(features[rows])
            ends.append(scores[rows[-1]])
        frames["score"] = scores
        return float(np.mean(ends)), "", pd.DataFrame(frames)

    def identity(self):
        """Return what decides the outcome of a fit; see `FrameDetector.identity`."""
        identity = super().identity()
        identity["params"].pop("device")
        identity["params"].pop("n_threads")
        return {**identity, "extractor": self._extractor().identity()}

    def get_state(self, portable=True):
        """Return what was learned: (meta, arrays); see `FrameDetector.get_state`."""
        parts = {"sequence": self.module_.state_dict()}
        if portable:
            parts["extractor"] = self.extractor_.module_.state_dict()
        arrays = {
            f"{part}/{name}": np.asarray(value.cpu(), order="C")
            for part, state in parts.items()
            for name, value in state.items()
        }
        return (
            self._state(
                history=self.history_,
                n_features=self.module_.n_features,
                weights_key=self.extractor_.weights_key_,
            ),
            arrays,
        )

    def set_state(self, meta, arrays):
        """Become the fitted detector that `get_state` described."""
        self._take_state(meta)
        parts = {"sequence": {}, "extractor": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = torch.from_numpy(value)
        self.history_ = meta["history"]
        self.module_ = self._network(meta["n_features"])
        self.module_.load_state_dict(parts["sequence"])
        self.module_.eval()
        self.extractor_ = self._new_extractor(trained=not parts["extractor"])
        if parts["extractor"]:
            self.extractor_.module_.load_state_dict(parts["extractor"])
        self.extractor_.weights_key_ = meta["weights_key"]
        return self

    def _recipe(self):
        return TrainingRecipe() if self.recipe is None else self.recipe

    def _extractor(self):
        names = ("backbone", "view", "weights", "image_size", "n_frames", "faces")
        names += ("finder", "margin", "align", "n_threads", "store", "device")
        params = {name: getattr(self, name) for name in names}
        return FrameDetector(train="head", dropout=0.0, random_state=0, **params)

    def _new_extractor(self, trained=True):
        """The frozen network, as a detector whose head nobody asks."""
        extractor = self._extractor()
        with repeatable(0, resolve_threads(self.n_threads)):
            extractor.module_ = extractor._build(trained).eval()
            extractor.weights_key_ = extractor._weights_key(extractor.module_)
        return extractor

    def _view_recipe(self) -> ViewRecipe:
        return self._extractor()._view_recipe()

    def _features(self, view, store):
        with fixed_threads(resolve_threads(self.n_threads)):
            return self.extractor_._features(view, store)

    def _measure(self, view):
        raise NotImplementedError("the extractor keeps its features itself")

    def _network(self, n_features):
        return SequenceNetwork(n_features, self.hidden_size, self.rnn, self.dropout)

    def _learn(self, features, is_fake, weight, groups, seed):
        recipe = self._recipe()
        learn, held = held_out_groups(is_fake, groups, recipe.validation, seed)
        with repeatable(seed, resolve_threads(self.n_threads)):
            network = self._network(features[0].shape[1])
            spread = np.concatenate(features)
            network.set_scale(spread.mean(0), spread.std(0))
            validate = None
            if len(held):
                validate = Validation(
                    [features[row] for row in held],
                    is_fake[held],
                    lambda network, rows: _sequence_scores(network, rows)[-1:],
                )
            self.history_ = train_network(
                network,
                SequenceSamples(
                    [features[row] for row in learn],
                    is_fake[learn],
                    groups[learn],
                    weight[learn],
                    self.batch_size,
                    recipe.balance_groups,
                    seed,
                ),
                recipe,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                staged=False,
                validate=validate,
                device=resolve_device(self.device),
                seed=seed,
                progress=f"{self} training" if self.verbose else None,
            )
        self.module_ = network.cpu()

    def _score_features(self, features):
        with fixed_threads(resolve_threads(self.n_threads)):
            return _sequence_scores(self.module_, features)


class SequenceNetwork(nn.Module):
    """Features of frames (B, T, n_features + 1) to logits (B, 2) of real and fake.

    Parameters
    ----------
    n_features : int
        Of each frame.
    hidden_size : int
        Cells.
    rnn : {"lstm", "gru"}
        Their kind.
    dropout : float
        On features and before the head.

    Notes
    -----
    The last column of the input says which steps are there (1) and which are padding
    (0), so that a batch is one tensor.

    Examples
    --------
    >>> import torch
    >>> from base_models.detectors.temporal import SequenceNetwork
    >>> network = SequenceNetwork(5, 8, "gru", 0.0)
    >>> network(torch.ones(2, 7, 6)).shape
    torch.Size([2, 2])
    """

    def __init__(self, n_features, hidden_size, rnn, dropout):
        super().__init__()
        self.n_features = n_features
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.dropout = nn.Dropout(dropout)
        cells = {"lstm": nn.LSTM, "gru": nn.GRU}[rnn]
        self.cells = cells(n_features, hidden_size, batch_first=True)
        self.head = nn.Linear(2 * hidden_size, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def set_scale(self, centre, spread):
        """Take mean and spread of the training features, so that cells see units."""
        self.centre.copy_(torch.from_numpy(centre))
        self.spread.copy_(torch.from_numpy(np.maximum(spread, 1e-6)))

    def steps(self, inputs):
        """Return the state after each step and the running mean, (B, T, 2 * hidden)."""
        there = inputs[..., -1:]  # (B, T, 1)
        scaled = (inputs[..., :-1] - self.centre) / self.spread
        lengths = there[..., 0].sum(1).long().cpu()
        packed = pack_padded_sequence(
            self.dropout(scaled), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.cells(packed)[0], batch_first=True, total_length=inputs.shape[1]
        )
        count = torch.cumsum(there, 1).clamp(min=1)
        return torch.cat([states, torch.cumsum(states * there, 1) / count], dim=-1)

    def forward(self, inputs):
        states = self.steps(inputs)
        last = inputs[..., -1].sum(1).long() - 1
        rows = torch.arange(len(inputs), device=inputs.device)
        return self.head(self.dropout(states[rows, last]))


class SequenceSamples:
    """Sequences of labelled videos, drawn anew each epoch; see `ImageSamples`.

    Parameters
    ----------
    features : list of ndarray of shape (n_images, n_features)
        Of each video, in the order of time.
    is_fake, groups, weight : ndarray of shape (n_videos,)
    batch_size : int
    balance_groups : bool
    seed : int
    """

    def __init__(
        self, features, is_fake, groups, weight, batch_size, balance_groups, seed
    ):
        self.features, self.is_fake, self.weight = features, is_fake, weight
        self.seed = seed
        self._share = video_shares(is_fake, groups, balance_groups)
        self.steps = -(-len(features) // batch_size)

    def batches(self, epoch):
        """Yield the batches of an epoch; see `ImageSamples.batches`."""
        draw = np.random.default_rng([self.seed, epoch])
        videos = draw.choice(len(self.features), len(self.features), p=self._share)
        for part in np.array_split(videos, self.steps):
            yield Batch(
                padded([self.features[video] for video in part]),
                torch.from_numpy(self.is_fake[part].astype(np.float32)),
                torch.from_numpy(self.weight[part].astype(np.float32)),
            )


def padded(sequences):
    """Lay sequences of different length in one tensor, with a column for what is there.

    Parameters
    ----------
    sequences : list of ndarray of shape (n_steps, n_features)

    Returns
    -------
    Tensor of shape (B, T, n_features + 1)

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.temporal import padded
    >>> padded([np.ones((1, 1)), np.ones((2, 1))])[..., -1]
    tensor([[1., 0.],
            [1., 1.]])
    """
    longest = max(map(len, sequences))
    table = np.zeros((len(sequences), longest, sequences[0].shape[1] + 1), np.float32)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence), :-1] = sequence
        row[: len(sequence), -1] = 1
    return torch.from_numpy(table)


@torch.inference_mode()
def _sequence_scores(network, features):
    """P(fake) of the sequence up to each of its steps, (n_steps,)."""
    device = next(network.parameters()).device
    logits = network.head(network.steps(padded([features]).to(device)))[0]
    logits = logits.double().cpu().numpy()
    return expit(logits[:, 1] - logits[:, 0])
