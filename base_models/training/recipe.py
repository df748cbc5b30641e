"""How a network is trained, beside how long and how fast."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from typing_extensions import Self


class TrainingRecipe(BaseEstimator):
    """Training settings beyond epochs, batch size and learning rate.

    Steps are AdamW's (Loshchilov and Hutter, 2019); the learning rate warms up, then
    falls along half a cosine (Loshchilov and Hutter, 2017). In each step the losses of
    reals and of fakes are averaged apart and weigh the same (Seferbekov, 2020, first
    place of the Deepfake Detection Challenge).

    A script started with ``accelerate launch --num_processes 4 script.py`` trains each
    network on four GPUs, one process each (Li et al., 2020, PyTorch Distributed); every
    process takes its share of each batch, so that `batch_size` and learning rate mean
    what they mean on one. It needs the extra ``gpus``.

    Parameters
    ----------
    head_epochs : int, default=1
        Epochs in which only the head learns, before the body joins in, so that a fresh
        head does not wreck a trained body (Howard and Ruder, 2018). Left out where the
        body starts from random weights.
    warmup : float, default=0.1
        Share of the steps in which the learning rate rises.
    label_smoothing : float, default=0.05
        Labels move this far towards one half, in halves (Szegedy et al., 2016).
    balance_groups : bool, default=True
        Draw the groups of each class equally often, whatever their numbers of videos,
        and both classes equally often. False draws every video equally often.
    mixup : float, default=0.0
        Chance that a fake is mixed with a real image of its own group, or a pseudo-fake
        with the very image it was made of; the label follows the share (Zhang et al.,
        2018).
    pairs : bool, default=False
        Show each fake together with the same frame of the real video that it was made
        of, both changed alike, so that only the forgery tells them apart (as Shiohara
        and Yamasaki, 2022, do with pseudo-fakes). That video is the one of the fake's
        group which is most like it; a fake without one is drawn as ever.
    averaging : {"ema", "swa"} or None, default=None
        Average the weights over steps, exponentially with `decay` (Polyak and Juditsky,
        1992), or over the epochs of the last quarter evenly (Izmailov et al., 2018).
        The statistics of normalisation are averaged with them.
    decay : float, default=0.99
        Of the exponential average, per step.
    validation : float or "auto", default="auto"
        Share of the groups held back to choose the best epoch by their log loss (early
        stopping: Prechelt, 1998); where all videos are real, by that of fakes made of
        the held-back ones. "auto" is 0.15 where at least 40 groups are there, else 0.
        Where it is more than 0 and a class has fewer than 4 groups, none is held back,
        with a warning.
    patience : int, default=5
        Stop after so many epochs without a better one; needs `validation`.
    clip_norm : float, default=1.0
        Longest gradient (Pascanu et al., 2013).
    accumulate : int, default=1
        Batches whose gradients make one step.
    amp : bool or "auto", default="auto"
        Compute in bfloat16 where that is safe; "auto" does on a GPU that has it
        (compute capability 8.0). On a CPU it pays for dense convolutions (ResNet), and
        not for depthwise ones (EfficientNet).
    channels_last : bool, default=True
        Memory layout of images and convolutions.
    compile : bool, default=False
        Compile the network first; pays in long trainings on a GPU.

    Examples
    --------
    >>> from base_models import FrameDetector, TrainingRecipe
    >>> recipe = TrainingRecipe(averaging="ema", label_smoothing=0.1)
    >>> detector = FrameDetector("efficientnet_lite0", recipe=recipe)
    >>> detector.set_params(recipe__decay=0.999).recipe.decay
    0.999
    """

    code_version = 1

    def __init__(
        self,
        head_epochs: int = 1,
        warmup: float = 0.1,
        label_smoothing: float = 0.05,
        balance_groups: bool = True,
        mixup: float = 0.0,
        pairs: bool = False,
        averaging: str | None = None,
        decay: float = 0.99,
        validation: float | str = "auto",
        patience: int = 5,
        clip_norm: float = 1.0,
        accumulate: int = 1,
        amp: bool | str = "auto",
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        self.head_epochs = head_epochs
        self.warmup = warmup
        self.label_smoothing = label_smoothing
        self.balance_groups = balance_groups
        self.mixup = mixup
        self.pairs = pairs
        self.averaging = averaging
        self.decay = decay
        self.validation = validation
        self.patience = patience
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.amp = amp
        self.channels_last = channels_last
        self.compile = compile

    def check(self) -> Self:
        """Refuse what cannot work, before any work.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Naming the parameter, what it must be and what it is.
        """
        for name in ("warmup", "label_smoothing", "mixup", "decay"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value <= 1):
                raise ValueError(f"{name} must lie in 0..1; got {value!r}")
        share = self.validation
        if share != "auto" and not (isinstance(share, Real) and 0 <= share < 1):
            raise ValueError(f"validation must be 'auto' or lie in 0..1; got {share!r}")
        for name, least in {"head_epochs": 0, "patience": 1, "accumulate": 1}.items():
            value = getattr(self, name)
            if not (isinstance(value, Integral) and value >= least):
                raise ValueError(
                    f"{name} must be a whole number >= {least}; got {value!r}"
                )
        if not (isinstance(self.clip_norm, Real) and self.clip_norm > 0):
            raise ValueError(f"clip_norm must be > 0; got {self.clip_norm!r}")
        if self.averaging not in (None, "ema", "swa"):
            raise ValueError(
                f"averaging must be 'ema', 'swa' or None; got {self.averaging!r}"
            )
        if self.amp not in (True, False, "auto"):
            raise ValueError(f"amp must be True, False or 'auto'; got {self.amp!r}")
        return self


def resolve_recipe(recipe: TrainingRecipe | None = None) -> TrainingRecipe:
    """Return the `TrainingRecipe` that a ``recipe`` parameter means, checked.

    Parameters
    ----------
    recipe : TrainingRecipe or None, default=None
        None is ``TrainingRecipe()``.
    """
    return (TrainingRecipe() if recipe is None else recipe).check()
