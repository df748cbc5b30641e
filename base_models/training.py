"""The loop that trains a network on the views of labelled videos."""

import contextlib
import functools
import os
import time
import warnings

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import nn

from base_models.errors import SlowFitWarning
from base_models.progress import progress_bar

_SLOW = 600  # seconds from which a fit on a CPU is announced
_BATCH_IN_INFERENCE = 32


def resolve_device(device=None):
    """Return the torch device to compute on.

    Parameters
    ----------
    device : str, torch.device or None, default=None
        None takes a GPU where there is one.

    Returns
    -------
    torch.device

    Examples
    --------
    >>> from base_models.training import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_threads(n_threads=None):
    """Return how many CPU threads one fit or one scoring run uses.

    The number does not depend on how many run side by side, because sums over
    more threads round otherwise: it is part of what makes scores repeatable.

    Parameters
    ----------
    n_threads : int or None, default=None
        None is all cores, but at most 4.

    Returns
    -------
    int

    Examples
    --------
    >>> from base_models.training import resolve_threads
    >>> resolve_threads(1)
    1
    """
    if n_threads is None:
        return min(4, n_cores())
    if not (isinstance(n_threads, int) and n_threads >= 1):
        raise ValueError(f"n_threads must be a whole number >= 1; got {n_threads!r}")
    return n_threads


def n_cores():
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def fixed_threads(n_threads):
    """Run torch, BLAS and OpenMP on so many threads, then restore what was.

    Parameters
    ----------
    n_threads : int

    Examples
    --------
    >>> import torch
    >>> from base_models.training import fixed_threads
    >>> with fixed_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    with _thread_pools().limit(limits=n_threads):
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def repeatable(seed, n_threads):
    """Run torch with a seed and a number of threads of its own, then restore both.

    Parameters
    ----------
    seed : int
    n_threads : int

    Examples
    --------
    >>> import torch
    >>> from base_models.training import repeatable
    >>> with repeatable(seed=0, n_threads=1):
    ...     first = torch.rand(1)
    >>> with repeatable(seed=0, n_threads=1):
    ...     print(torch.rand(1) == first)
    tensor([True])
    """
    deterministic = torch.backends.cudnn.deterministic
    with fixed_threads(n_threads), torch.random.fork_rng():
        torch.backends.cudnn.deterministic = True
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic = deterministic


@functools.lru_cache(maxsize=1)
def _thread_pools():
    return ThreadpoolController()  # looking for the libraries takes milliseconds


def train_network(
    network,
    preprocess,
    views,
    is_fake,
    *,
    sample_weight,
    epochs=10,
    frames_per_epoch=4,
    batch_size=16,
    learning_rate=3e-4,
    weight_decay=0.01,
    augment=True,
    device="cpu",
    seed=0,
    progress=None,
):
    """Fine-tune a network end to end on frames of labelled videos.

    AdamW with one cycle of the learning rate (Smith and Topin, 2018), gradients
    clipped at norm 1, cross-entropy in which reals and fakes weigh the same
    whatever their numbers. Each epoch draws a few frames of every video anew.

    Parameters
    ----------
    network : torch.nn.Module
        Images (B, 3, H, W) to logits (B, 2), in the order real, fake. Trained in
        place.
    preprocess : callable
        uint8 tensor (B, H, W, 3) -> float tensor (B, 3, H, W).
    views : Views
        Of videos that each have at least one image.
    is_fake : ndarray of shape (n_videos,)
        0 real, 1 fake.
    sample_weight : ndarray of shape (n_videos,)
        Weight of each video within its class.
    epochs, frames_per_epoch, batch_size : int
        Passes over the videos; frames drawn of each in a pass; frames in a step.
    learning_rate, weight_decay : float
        The highest learning rate, and AdamW's decay.
    augment : bool
        Mirror images and vary brightness and contrast.
    device : torch.device or str
        Where to compute.
    seed : int
        Decides frames, order and augmentation.
    progress : str or None
        What to write before a progress bar; None shows none.

    Returns
    -------
    list of dict
        Per epoch: ``epoch``, mean ``loss``, ``seconds``.
    """
    draw = np.random.default_rng(seed)
    weights = balanced_weights(is_fake, sample_weight)
    steps = steps_per_epoch(len(views), frames_per_epoch, batch_size)
    network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), learning_rate, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * steps, pct_start=0.2
    )
    history = []
    with progress_bar(text=progress, total=epochs * steps) as bar:
        for epoch in range(epochs):
            start, losses = time.perf_counter(), []
            for batch in _batches(views, frames_per_epoch, steps, draw):
                rows = np.array([video for video, _ in batch])
                images = np.stack([views[video].images[at] for video, at in batch])
                inputs = preprocess(torch.from_numpy(images).to(device))
                if augment:
                    inputs = _augment(inputs, draw)
                logits = network(inputs.contiguous(memory_format=torch.channels_last))
                loss = nn.functional.cross_entropy(
                    logits,
                    torch.as_tensor(is_fake[rows], device=device),
                    reduction="none",
                )
                loss = (loss * torch.as_tensor(weights[rows], device=device)).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
                bar.update()
            loss = float(torch.stack(losses).mean())
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} in epoch {epoch + 1}; lower "
                    f"learning_rate (now {learning_rate})"
                )
            seconds = time.perf_counter() - start
            history.append({"epoch": epoch + 1, "loss": loss, "seconds": seconds})
            bar.set_postfix(loss=f"{loss:.3f}")
    network.eval()
    return history


@torch.inference_mode()
def forward(network, preprocess, images, device):
    """Run a network over the images of one view.

    The batches are those of one video and never mix videos, so that a score does
    not depend on what else is scored.

    Parameters
    ----------
    network, preprocess, device
        As for `train_network`.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8.

    Returns
    -------
    ndarray of shape (n_images, ...)
        float32, what the network put out.
    """
    _place(network, torch.device(device))
    outputs = []
    for start in range(0, len(images), _BATCH_IN_INFERENCE):
        batch = torch.tensor(images[start : start + _BATCH_IN_INFERENCE]).to(device)
        inputs = preprocess(batch).contiguous(memory_format=torch.channels_last)
        outputs.append(network(inputs).float().cpu().numpy())
    return np.concatenate(outputs)


def _place(network, device):
    """Put a network where it computes and in eval mode, unless it is already."""
    first = next(network.parameters(), None)
    if first is not None and first.device != device:
        network.to(device)
    convolution = next((p for p in network.parameters() if p.ndim == 4), None)
    if convolution is not None and not convolution.is_contiguous(
        memory_format=torch.channels_last
    ):
        network.to(memory_format=torch.channels_last)
    if network.training:
        network.eval()


def balanced_weights(is_fake, sample_weight):
    """Scale weights so that each class sums to half the number of videos."""
    weights = np.zeros(len(is_fake), np.float32)
    for label in (0, 1):
        rows = is_fake == label
        total = sample_weight[rows].sum()
        weights[rows] = sample_weight[rows] * (len(is_fake) / 2 / total)
    return weights


def steps_per_epoch(n_videos, frames_per_epoch, batch_size):
    """Return how many steps one pass over the videos takes."""
    return -(-n_videos * frames_per_epoch // batch_size)


def seconds_per_step(network, image_size, batch_size, device):
    """Estimate a training step from one on few images; the network stays as it was."""
    few = min(4, batch_size)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.to(device, memory_format=torch.channels_last).train()
    images = torch.rand(few, 3, image_size, image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(2):  # the first also warms up
        start = time.perf_counter()
        network(images).sum().backward()
        times.append(time.perf_counter() - start)
    network.zero_grad(set_to_none=True)
    network.load_state_dict(state)
    return min(times) * batch_size / few


def warn_if_slow(seconds, what):
    """Say how long a fit on a CPU will take, and what would be quicker.

    Parameters
    ----------
    seconds : float
        The estimate.
    what : str
        What is being fitted.
    """
    if seconds < _SLOW:
        return
    hours = seconds / 3600
    span = f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
    warnings.warn(
        f"fitting {what} will take about {span} on this CPU. Quicker: a GPU; a smaller "
        "network (backbone='efficientnet_lite0'), image_size, epochs or "
        "frames_per_epoch; or train='head', which computes features once (fast, but "
        "near chance on forgeries whose traces the frozen network does not see)",
        SlowFitWarning,
        stacklevel=3,
    )


def _batches(views, frames_per_epoch, steps, draw):
    """Draw frames of every video; yield them mixed, in batches of near-equal size."""
    chosen = [
        (video, at)
        for video in range(len(views))
        for at in _draw_frames(views.n_images[video], frames_per_epoch, draw)
    ]
    order = draw.permutation(len(chosen))
    for rows in np.array_split(order, steps):
        yield [chosen[row] for row in rows]


def _draw_frames(n_images, n_wanted, draw):
    return draw.choice(n_images, n_wanted, replace=n_images < n_wanted)


def _augment(inputs, draw):
    """Mirror half of the images; vary brightness and contrast by up to a fifth."""
    n = len(inputs)
    mirrored = torch.as_tensor(draw.random(n) < 0.5, device=inputs.device)
    inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    gain, shift = draw.uniform([[0.8], [-0.2]], [[1.2], [0.2]], (2, n)).astype("f4")
    gain, shift = (
        torch.as_tensor(x, device=inputs.device)[:, None, None, None]
        for x in (gain, shift)
    )
    return inputs * gain + shift
