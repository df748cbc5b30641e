"""What watches a fit: callbacks, the events that they get, TensorBoard."""

from base_models.callbacks.events import TrainingEvent, listening, tell
from base_models.callbacks.tensorboard import TensorBoardCallback

__all__ = ["TensorBoardCallback", "TrainingEvent", "listening", "tell"]
