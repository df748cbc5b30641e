"""The loop that trains a network, and the one that runs it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from torch import nn

from base_models.callbacks.events import EPOCH, tell
from base_models.errors import DivergedError
from base_models.networks.forward import autocast_for
from base_models.runtime.caches import give_back_memory
from base_models.runtime.devices import seed_generators
from base_models.runtime.distributed import Processes
from base_models.runtime.progress import progress_bar
from base_models.store.store import KeptState
from base_models.training.losses import balanced_loss, class_weights
from base_models.training.optimizer_and_schedule import TrainingRun
from base_models.training.recipe import TrainingRecipe, resolve_recipe


def train_network(
    network: nn.Module,
    samples: Any,
    recipe: TrainingRecipe | None = None,
    *,
    epochs: int = 10,
    learning_rate: float = 3e-4,
    weight_decay: float = 0.01,
    staged: bool = True,
    learns: Collection[str] | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    keep: KeptState | None = None,
    processes: Processes | None = None,
    progress: str | None = None,
    name: str = "the network",
) -> list[dict[str, float]]:
    """Train a network on batches of samples; `TrainingRecipe` says how.

    Parameters
    ----------
    network : torch.nn.Module
        Inputs to logits (B, 2), in the order real, fake. Trained in place. With
        ``recipe.head_epochs`` it must have a ``head``.
    samples : object
        ``steps``, batches in an epoch, and ``batches(epoch)``, which yields them;
        where several processes train, ``batches(epoch, share)`` of a slice of each:
        see `base_models.training.image_batches.ImageSamples`.
    recipe : TrainingRecipe or None, default=None
        None is ``TrainingRecipe()``.
    epochs : int, default=10
        Passes over the samples.
    learning_rate, weight_decay : float, default=3e-4, 0.01
        The highest learning rate, and AdamW's decay.
    staged : bool, default=True
        Whether ``recipe.head_epochs`` holds: the body starts from trained weights.
    learns : collection of str or None, default=None
        Names of the parameters that learn; None for all. The others have no gradients,
        and what is kept of an interrupted training leaves them out.
    validate : callable or None, default=None
        Network -> dict with ``validation_loss`` at least; chooses the best epoch.
    device : torch.device or str, default="cpu"
        Where to compute.
    seed : int, default=0
        Of what the network itself draws (dropout).
    keep : object or None, default=None
        Where to keep the state after each epoch: ``load() -> (arrays, meta) or None``,
        ``save(arrays, meta)``, ``clear()``. A training that finds a state goes on from
        it and ends with the same bytes as one that was never interrupted.
    processes : Processes or None, default=None
        Those that train together: each takes its share of every batch, the main one
        validates and keeps. None is this one alone.
    progress : str or None, default=None
        What to write before a progress bar; None shows none.
    name : str, default="the network"
        What it is called in errors.

    Returns
    -------
    list of dict
        Per epoch: ``epoch``, mean ``loss``, ``learning_rate`` at its end, ``seconds``,
        and what `validate` gave.

    Raises
    ------
    DivergedError
        If the loss, or a weight, is no finite number any more.
    """
    recipe = resolve_recipe(recipe)
    processes = Processes() if processes is None else processes
    keep, progress = (keep, progress) if processes.main else (None, None)
    device = torch.device(device)
    network.to(device, memory_format=_memory_format(recipe)).train()
    total = epochs * samples.steps
    run = TrainingRun(network, recipe, total, learning_rate, weight_decay, learns)
    start = run.restore(keep, processes)
    head_epochs = recipe.head_epochs if staged and epochs > recipe.head_epochs else 0
    share = () if processes.n == 1 else (processes.share,)
    with progress_bar(text=progress, total=total, initial=start * samples.steps) as bar:
        for epoch in range(start, epochs):
            if run.best.waited >= recipe.patience:
                break
            began = time.perf_counter()
            # of its own for each epoch: a resumed training draws what it would have
            seed_generators(_epoch_seed(seed, epoch, processes.rank))
            _freeze(network, epoch < head_epochs, learns)
            if epoch in (start, head_epochs):
                model = processes.wrap(network)
                model = torch.compile(model) if recipe.compile else model
            batches = samples.batches(epoch, *share)
            loss = _train_epoch(
                model, run, batches, samples.steps, device, processes, bar
            )
            run.end_epoch(epoch, epochs)
            trouble = _trouble_anywhere(loss, network, device, processes)
            if trouble:
                when = f"{trouble} in epoch {epoch + 1} of {epochs}"
                raise DivergedError(f"{name}: {when}; {_slower(learning_rate)}")
            entry = {"epoch": epoch + 1, "loss": loss, "learning_rate": run.rate}
            if validate is not None:
                entry |= run.validate(validate, processes)
            _note(entry, began, run, samples.steps, name, processes)
            if keep is not None:
                run.save(keep)
            bar.set_postfix(loss=f"{loss:.3f}")
    _freeze(network, frozen=False)
    network.load_state_dict(run.final_state(processes), strict=learns is None)
    network.eval()
    if keep is not None:
        keep.clear()
    return run.history


def _note(entry, began, run, steps, name, processes):
    """Add an epoch to the history, and tell callbacks of it."""
    entry["seconds"] = time.perf_counter() - began
    run.history.append(entry)
    if not processes.main:
        return
    metrics = {key: value for key, value in entry.items() if key != "epoch"}
    metrics["steps_per_second"] = steps / max(entry["seconds"], 1e-9)
    tell(EPOCH, detector=name, network=name, epoch=entry["epoch"], metrics=metrics)


def _train_epoch(model, run, batches, steps, device, processes, bar):
    """Train on the batches of one epoch; return their mean loss."""
    losses = []
    for number, batch in enumerate(batches):
        n_together, due = _accumulated(number, steps, run.recipe.accumulate)
        with processes.averaging(model, due):
            loss = _batch_loss(model, batch, run.recipe, device, processes)
            # gradients are averaged over processes: n shares make the whole
            (loss * (processes.n / n_together)).backward()
        losses.append(loss.detach())
        run.count_batch(due)
        bar.update()
    give_back_memory()  # what activations took
    return float(processes.total(torch.stack(losses).mean()))


def _batch_loss(model, batch, recipe, device, processes):
    """Compute the loss of one process's share of a batch."""
    inputs = batch.inputs.to(device, non_blocking=True)
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=_memory_format(recipe))
    label, weight = batch.label.to(device), batch.weight.to(device)
    totals = processes.total(class_weights(label, weight))
    with autocast_for(recipe.amp, device):
        logits = model(inputs)
    return balanced_loss(logits.float(), label, weight, recipe.label_smoothing, totals)


def _memory_format(recipe):
    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def _trouble_anywhere(loss, network, device, processes):
    """Say what diverged here or in another process; empty where nothing did."""
    trouble = _trouble(loss, network)
    diverged = torch.tensor(float(bool(trouble)), device=device)
    if processes.total(diverged) > 0:  # all stop, or none: they wait for each other
        return trouble or "another process diverged"
    return ""


def _slower(rate):
    return f"lower learning_rate (now {rate:g}), for example to {rate / 10:g}"


def _trouble(loss, network):
    """Say what of a training is no finite number any more; empty where all is."""
    if not math.isfinite(loss):
        return f"the loss became {loss}"
    # The last step of an epoch shows in no loss of that epoch. Of the buffers only the
    # statistics of normalisation learn; masks may well be infinite.
    learned = dict(network.named_parameters())
    learned |= {name: v for name, v in network.named_buffers() if "running_" in name}
    broken = [name for name, v in learned.items() if not v.isfinite().all()]
    return f"the weights {broken[0]} became infinite or NaN" if broken else ""


def _accumulated(number, steps, accumulate):
    """How many batches make one step with this one, and whether it is the last."""
    first = number - number % accumulate
    n_together = min(accumulate, steps - first)
    return n_together, number == first + n_together - 1


def _epoch_seed(seed, epoch, rank):
    source = [seed, epoch, rank] if rank else [seed, epoch]
    return int(np.random.default_rng(source).integers(2**63))


def let_learn(network: nn.Module, learns: Collection[str] | None = None) -> None:
    """Give gradients to some parameters of a network, by their names, and to no others.

    Parameters
    ----------
    network : torch.nn.Module
    learns : collection of str or None, default=None
        None is all of them.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns is None or name in learns)


def _freeze(network, frozen, learns=None):
    """Let the parts of a network learn that may, or its head alone."""
    if not frozen:
        let_learn(network, learns)
        network.train()
        return
    network.requires_grad_(False)
    network.eval()  # the body's normalisation stays as it was trained
    network.head.requires_grad_(True)
    network.head.train()
