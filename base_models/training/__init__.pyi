from .loop import train_network as train_network
from .losses import (
    balanced_loss as balanced_loss,
    class_weights as class_weights,
)
from .timing import (
    seconds_per_step as seconds_per_step,
    steps_per_epoch as steps_per_epoch,
    warn_if_slow as warn_if_slow,
)
