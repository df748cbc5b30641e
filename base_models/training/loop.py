"""The loop that trains a network, and the one that runs it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from base_models.errors import DivergedError
from base_models.networks.forward import autocast_for
from base_models.runtime.devices import seed_generators
from base_models.runtime.distributed import Processes
from base_models.runtime.progress import progress_bar
from base_models.store.store import KeptState
from base_models.training.losses import balanced_loss, class_weights
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
    keep = keep if processes.main else None
    device = torch.device(device)
    network.to(device, memory_format=_memory_format(recipe)).train()
    total = epochs * samples.steps
    run = _Run(network, recipe, total, learning_rate, weight_decay)
    start = run.restore(keep, processes)
    head_epochs = recipe.head_epochs if staged and epochs > recipe.head_epochs else 0
    share = () if processes.n == 1 else (processes.share,)
    progress = progress if processes.main else None
    with progress_bar(text=progress, total=total, initial=start * samples.steps) as bar:
        for epoch in range(start, epochs):
            if run.best.waited >= recipe.patience:
                break
            began = time.perf_counter()
            # of its own for each epoch: a resumed training draws what it would have
            seed_generators(_epoch_seed(seed, epoch, processes.rank))
            _freeze(network, frozen=epoch < head_epochs)
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
            run.history.append(entry | {"seconds": time.perf_counter() - began})
            if keep is not None:
                run.save(keep)
            bar.set_postfix(loss=f"{loss:.3f}")
    _freeze(network, frozen=False)
    network.load_state_dict(run.final_state(processes))
    network.eval()
    if keep is not None:
        keep.clear()
    return run.history


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


class _Run:
    """Optimizer, schedule, averages and best epoch of a training, and how to keep them.

    Torch's own averages and schedules give other networks: `AveragedModel` begins with
    the first weights that it sees and not with those before them, and `LambdaLR` rounds
    otherwise, and warns where not every batch makes a step.
    """

    def __init__(self, network, recipe, n_batches, learning_rate, weight_decay):
        self.network, self.recipe, self.history = network, recipe, []
        self.best = _Best()
        self.optimizer = torch.optim.AdamW(
            network.parameters(), learning_rate, weight_decay=weight_decay
        )
        self._peak, self._n_batches, self._seen = learning_rate, n_batches, 0
        self._average = copy.deepcopy(network) if recipe.averaging else None
        self._n_averaged = 0
        self._set_rate()

    @property
    def rate(self):
        """The learning rate at present."""
        return self.optimizer.param_groups[0]["lr"]

    def count_batch(self, due):
        """Step the optimizer if enough batches have left their gradients."""
        self._set_rate()
        self._seen += 1
        if not due:
            return
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.recipe.averaging == "ema":
            # short at first, so that the start is soon forgotten
            decay = min(
                self.recipe.decay, (1 + self._n_averaged) / (10 + self._n_averaged)
            )
            self._take_in(1 - decay)

    def end_epoch(self, epoch, epochs):
        if self.recipe.averaging == "swa" and epoch >= (3 * epochs) // 4:
            self._take_in(1 / (self._n_averaged + 1))

    def validate(self, validate, processes):
        """Score held-out videos, note the best epoch; return what `validate` gave."""
        scores = validate(self.result().eval()) if processes.main else None
        scores = processes.agree(scores)
        self.network.train()
        self.best.look_at(scores["validation_loss"], self.result())
        return scores

    def result(self):
        """The network to use: the average where there is one."""
        return self._average if self._n_averaged else self.network

    def final_state(self, processes):
        """Return the weights of the best epoch, or of the last; equal in all."""
        state = self.best.state
        state = self.result().state_dict() if state is None else state
        if processes.n > 1:  # each has seen other images, and normalises by them
            state = processes.agree({k: value.cpu() for k, value in state.items()})
        return state

    @torch.no_grad()
    def _take_in(self, share):
        self._n_averaged += 1
        average = self._average.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, share)
            else:
                average[name].copy_(value)

    def _set_rate(self):
        """Linear rise, then half a cosine down to nothing."""
        done = self._seen / self._n_batches
        rise = self.recipe.warmup
        if done < rise:
            rate = self._peak * max(done / rise, 0.01)
        else:
            fallen = (done - rise) / max(1 - rise, 1 / self._n_batches)
            rate = self._peak * (1 + math.cos(math.pi * fallen)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def save(self, keep):
        """Keep all that a later process needs to go on."""
        states = {
            "network": self.network.state_dict(),
            "average": {} if self._average is None else self._average.state_dict(),
            "best": self.best.state or {},
        }
        for number, state in self.optimizer.state_dict()["state"].items():
            states[f"adam/{number}"] = state
        arrays = {
            f"{part}/{name}": np.asarray(value.detach().cpu(), order="C")
            for part, state in states.items()
            for name, value in state.items()
        }
        keep.save(
            arrays,
            {
                "history": self.history,
                "seen": self._seen,
                "n_averaged": self._n_averaged,
                "best_loss": self.best.loss if self.best.state else None,
                "waited": self.best.waited,
            },
        )

    def restore(self, keep, processes):
        """Go on from what was kept; return the epoch to begin with."""
        entry = processes.agree(None if keep is None else keep.load())
        if entry is None:
            return 0
        arrays, meta = entry
        parts = {"network": {}, "average": {}, "best": {}, "adam": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = torch.from_numpy(value)
        self.network.load_state_dict(parts["network"])
        if self._average is not None:
            self._average.load_state_dict(parts["average"])
        self._restore_optimizer(parts["adam"])
        if meta["best_loss"] is not None:
            self.best.loss, self.best.state = meta["best_loss"], parts["best"]
        self.best.waited, self._n_averaged = meta["waited"], meta["n_averaged"]
        self.history, self._seen = meta["history"], meta["seen"]
        self._set_rate()
        return len(self.history)

    def _restore_optimizer(self, tensors):
        state = {}
        for name, value in tensors.items():
            number, _, key = name.partition("/")
            state.setdefault(int(number), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, moments in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):  # in the layout of the weights
                moments[key] = torch.empty_like(parameter).copy_(moments[key])


class _Best:
    """The weights of the best epoch so far."""

    def __init__(self):
        self.loss, self.state, self.waited = math.inf, None, 0

    def look_at(self, loss, network):
        if loss < self.loss:
            state = network.state_dict()
            self.loss, self.waited = loss, 0
            self.state = {name: value.clone() for name, value in state.items()}
        else:
            self.waited += 1


def _epoch_seed(seed, epoch, rank):
    source = [seed, epoch, rank] if rank else [seed, epoch]
    return int(np.random.default_rng(source).integers(2**63))


def _freeze(network, frozen):
    """Let all of a network learn, or its head alone."""
    if not frozen:
        network.requires_grad_(True)
        network.train()
        return
    network.requires_grad_(False)
    network.eval()  # the body's normalisation stays as it was trained
    network.head.requires_grad_(True)
    network.head.train()
