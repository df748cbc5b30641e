"""Optimizer, learning-rate schedule, averaged weights and best epoch of a training."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn


class TrainingRun:
    """Optimizer, schedule, averages and best epoch of a training, and how to keep them.

    Torch's own averages and schedules give other networks: `AveragedModel` begins with
    the first weights that it sees and not with those before them, and `LambdaLR` rounds
    otherwise, and warns where not every batch makes a step.
    """

    def __init__(
        self, network, recipe, n_batches, learning_rate, weight_decay, learns=None
    ):
        self.network, self.recipe, self.history = network, recipe, []
        parameters = dict(network.named_parameters())
        self._fixed = set() if learns is None else parameters.keys() - set(learns)
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
            if name not in self._fixed
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
        whole = not self._fixed
        self.network.load_state_dict(parts["network"], strict=whole)
        if self._average is not None:
            self._average.load_state_dict(parts["average"], strict=whole)
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
