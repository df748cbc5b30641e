"""One batch of training samples."""

import dataclasses

import torch


@dataclasses.dataclass
class Batch:
    """Inputs of one step.

    Attributes
    ----------
    inputs : Tensor of shape (B, ...)
        What the network takes.
    label : Tensor of shape (B,)
        0 real to 1 fake, anything between for mixtures.
    weight : Tensor of shape (B,)
        Weight within the class.
    """

    inputs: torch.Tensor
    label: torch.Tensor
    weight: torch.Tensor
