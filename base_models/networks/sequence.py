"""A recurrent network over features of frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from scipy.special import expit
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


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
    >>> from base_models.networks.sequence import SequenceNetwork
    >>> network = SequenceNetwork(5, 8, "gru", 0.0)
    >>> network(torch.ones(2, 7, 6)).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        n_features: int,
        hidden_size: int,
        rnn: Literal["lstm", "gru"],
        dropout: float,
    ) -> None:
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

    def set_scale(self, centre: Any, spread: Any) -> None:
        """Take mean and spread of the training features, so that cells see units."""
        self.centre.copy_(torch.from_numpy(centre))
        self.spread.copy_(torch.from_numpy(np.maximum(spread, 1e-6)))

    def steps(self, inputs: Any) -> Any:
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

    def forward(self, inputs: Any) -> Any:
        states = self.steps(inputs)
        last = inputs[..., -1].sum(1).long() - 1
        rows = torch.arange(len(inputs), device=inputs.device)
        return self.head(self.dropout(states[rows, last]))


def padded(sequences: list[np.ndarray]) -> torch.Tensor:
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
    >>> from base_models.networks.sequence import padded
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
def sequence_scores(network: Any, features: Any) -> Any:
    """P(fake) of the sequence up to each of its steps, (n_steps,)."""
    device = next(network.parameters()).device
    logits = network.head(network.steps(padded([features]).to(device)))[0]
    logits = logits.double().cpu().numpy()
    return expit(logits[:, 1] - logits[:, 0])
