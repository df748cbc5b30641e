"""The loop that trains a network, and the one that runs it."""

import copy
import math
import time

import numpy as np
import torch
from torch import nn

from base_models.errors import DivergedError
from base_models.networks.forward import autocast_for
from base_models.runtime.devices import seed_generators
from base_models.runtime.distributed import Processes
from base_models.runtime.progress import progress_bar
from base_models.training.losses import balanced_loss, class_weights
from base_models.training.recipe import TrainingRecipe


def train_network(
    network,
    samples,
    recipe=None,
    *,
    epochs=10,
    learning_rate=3e-4,
    weight_decay=0.01,
    staged=True,
    validate=None,
    device="cpu",
    seed=0,
    keep=None,
    processes=None,
    progress=None,
    name="the network",
):
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
    recipe = (TrainingRecipe() if recipe is None else recipe).check()
    processes = Processes() if processes is None else processes
    device = torch.device(device)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network.to(device, memory_format=layout).train()
    total = epochs * samples.steps
    run, best = _Run(network, recipe, total, learning_rate, weight_decay), _Best()
    start = run.restore(keep, best, processes)
    head_epochs = recipe.head_epochs if staged and epochs > recipe.head_epochs else 0
    share = () if processes.n == 1 else (processes.share,)
    progress = progress if processes.main else None
    with progress_bar(text=progress, total=total, initial=start * samples.steps) as bar:
        for epoch in range(start, epochs):
            if best.waited >= recipe.patience:
                break
            began, losses = time.perf_counter(), []
            # of its own for each epoch: a resumed training draws what it would have
            seed_generators(_epoch_seed(seed, epoch, processes.rank))
            _freeze(network, frozen=epoch < head_epochs)
            if epoch in (start, head_epochs):
                model = processes.wrap(network)
                model = torch.compile(model) if recipe.compile else model
            for number, batch in enumerate(samples.batches(epoch, *share)):
                n_together, due = _accumulated(number, samples.steps, recipe.accumulate)
                inputs = batch.inputs.to(device, non_blocking=True)
                if inputs.ndim == 4:
                    inputs = inputs.contiguous(memory_format=layout)
                label, weight = batch.label.to(device), batch.weight.to(device)
                totals = processes.total(class_weights(label, weight))
                with processes.averaging(model, due):
                    with autocast_for(recipe.amp, device):
                        logits = model(inputs)
                    loss = balanced_loss(
                        logits.float(), label, weight, recipe.label_smoothing, totals
                    )
                    # gradients are averaged over processes: n shares make the whole
                    (loss * (processes.n / n_together)).backward()
                losses.append(loss.detach())
                run.count_batch(due)
                bar.update()
            loss = float(processes.total(torch.stack(losses).mean()))
            run.end_epoch(epoch, epochs)
            trouble = _trouble(loss, network)
            broken = torch.tensor(float(bool(trouble)), device=device)
            if (
                processes.total(broken) > 0
            ):  # all stop, or none: they wait for each other
                raise DivergedError(
                    f"{name}: {trouble or 'another process diverged'} in epoch "
                    f"{epoch + 1} of {epochs}; lower learning_rate (now "
                    f"{learning_rate:g}), for example to {learning_rate / 10:g}"
                )
            entry = {
                "epoch": epoch + 1,
                "loss": loss,
                "learning_rate": run.optimizer.param_groups[0]["lr"],
            }
            if validate is not None:
                found = validate(run.result().eval()) if processes.main else None
                entry |= processes.agree(found)
                network.train()
                best.look_at(entry["validation_loss"], run.result())
            entry["seconds"] = time.perf_counter() - began
            run.history.append(entry)
            if keep is not None and processes.main:
                run.save(keep, best)
            bar.set_postfix(loss=f"{loss:.3f}")
    _freeze(network, frozen=False)
    result = run.result().state_dict() if best.state is None else best.state
    if processes.n > 1:  # each has seen other images, and normalises by them
        result = processes.agree({k: value.cpu() for k, value in result.items()})
    network.load_state_dict(result)
    network.eval()
    if keep is not None and processes.main:
        keep.clear()
    return run.history


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
    """Optimizer, schedule and averages of one training, and how to keep them."""

    def __init__(self, network, recipe, n_batches, learning_rate, weight_decay):
        self.network, self.recipe, self.history = network, recipe, []
        self.optimizer = torch.optim.AdamW(
            network.parameters(), learning_rate, weight_decay=weight_decay
        )
        self._peak, self._last = learning_rate, n_batches
        self._seen = 0
        self._average = None
        if recipe.averaging is not None:
            self._average = copy.deepcopy(network)
            self._n_averaged = 0
        self._set_rate()

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

    def result(self):
        """The network to use: the average where there is one."""
        if self._average is None or not self._n_averaged:
            return self.network
        return self._average

    @torch.no_grad()
    def _take_in(self, share):
        self._n_averaged += 1
        mine = self._average.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                mine[name].lerp_(value, share)
            else:
                mine[name].copy_(value)

    def _set_rate(self):
        """Linear rise, then half a cosine down to nothing."""
        done = self._seen / self._last
        rise = self.recipe.warmup
        if done < rise:
            rate = self._peak * max(done / rise, 0.01)
        else:
            fallen = (done - rise) / max(1 - rise, 1 / self._last)
            rate = self._peak * (1 + math.cos(math.pi * fallen)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def save(self, keep, best):
        arrays = {}
        for part, state in (
            ("network", self.network.state_dict()),
            ("average", {} if self._average is None else self._average.state_dict()),
            ("best", best.state or {}),
        ):
            arrays |= {f"{part}/{name}": _array(value) for name, value in state.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            arrays |= {f"adam/{number}/{k}": _array(v) for k, v in state.items()}
        keep.save(
            arrays,
            {
                "history": self.history,
                "seen": self._seen,
                "n_averaged": getattr(self, "_n_averaged", 0),
                "best_loss": best.loss if best.state else None,
                "waited": best.waited,
            },
        )

    def restore(self, keep, best, processes):
        """Go on from what was kept; return the epoch to begin with."""
        mine = keep is not None and processes.main
        found = processes.agree(keep.load() if mine else None)
        if found is None:
            return 0
        arrays, meta = found
        parts = {"network": {}, "average": {}, "best": {}, "adam": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = torch.from_numpy(value)
        self.network.load_state_dict(parts["network"])
        if self._average is not None:
            self._average.load_state_dict(parts["average"])
            self._n_averaged = meta["n_averaged"]
        state = {}
        for name, value in parts["adam"].items():
            number, _, key = name.partition("/")
            state.setdefault(int(number), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, own in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):  # in the layout of the weights
                own[key] = torch.empty_like(parameter).copy_(own[key])
        if meta["best_loss"] is not None:
            best.loss, best.state = meta["best_loss"], parts["best"]
        best.waited = meta["waited"]
        self.history, self._seen = meta["history"], meta["seen"]
        self._set_rate()
        return len(self.history)


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


def _array(tensor):
    return np.asarray(tensor.detach().cpu(), order="C")


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
