"""Files that a saved model names: their names are kept, the files never opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.errors import CheckpointError

# Parameters of detectors, finders and makers of fakes that may be a file, and their
# other values.
FILE_PARAMETERS = {
    "weights": (None, "imagenet"),
    "model": (None,),
    "landmarks": (None, "68", "5"),
    "autoencoder": (None,),
}


_holds_all: ContextVar[bool] = ContextVar("holds_all", default=False)


@contextmanager
def holding_all_weights() -> Iterator[None]:
    """Within the block a network gets its weights from the file that is read alone.

    One that lacks them is damaged, or forged to have whoever loads it fetch others.
    """
    token = _holds_all.set(True)
    try:
        yield
    finally:
        _holds_all.reset(token)


def check_may_look(network: str) -> None:
    """Refuse to look elsewhere for weights that a file must hold.

    Parameters
    ----------
    network : str
        Its name.

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> from base_models.runtime.named_file import check_may_look, holding_all_weights
    >>> check_may_look("resnet18")
    >>> with holding_all_weights():
    ...     check_may_look("resnet18")
    Traceback (most recent call last):
    base_models.errors.CheckpointError: the weights of its network, resnet18, are ...
    """
    if _holds_all.get():
        raise CheckpointError(f"the weights of its network, {network}, are missing")


@dataclass(frozen=True)
class NamedFile:
    """The name of a file on the machine where a model was saved.

    Whoever wrote a model file chose this name, so nothing here opens what it leads to:
    it is shown, compared and saved again, and wherever a file is to be opened it raises
    an error that says how to give one's own.

    Parameters
    ----------
    name : str
        The path, as it was when the model was saved.

    Examples
    --------
    >>> from base_models.runtime.named_file import NamedFile
    >>> NamedFile("/home/ann/yunet.onnx")
    NamedFile('/home/ann/yunet.onnx')
    """

    name: str

    def __repr__(self):
        return f"NamedFile({self.name!r})"

    def __str__(self):
        return self.name

    def __fspath__(self):
        raise CheckpointError(
            f"the saved model was made with the file {self.name!r}, which is not "
            "opened: a path that a model file names may lead anywhere. Give the file "
            f"on this machine, ensemble.load(path, files={{{self.name!r}: PATH}}), or "
            "set the parameter of the detector or face finder with set_params"
        )


def without_files(
    params: dict[Any, Any], files: dict[str, str | Path] | None = None
) -> dict[Any, Any]:
    """Return parameters with a `NamedFile` in the place of every path.

    Parameters
    ----------
    params : dict
        Of a detector or a face finder, as read from a file.
    files : dict of str to (str or Path), default=None
        Files of the user, by the names that the model was saved with.

    Returns
    -------
    dict

    Examples
    --------
    >>> from base_models.runtime.named_file import without_files
    >>> without_files({"weights": "imagenet", "model": "a.onnx", "margin": 1.3})
    {'weights': 'imagenet', 'model': NamedFile('a.onnx'), 'margin': 1.3}
    >>> without_files({"model": "a.onnx"}, {"a.onnx": "mine.onnx"})
    {'model': 'mine.onnx'}
    """
    kept = dict(params)
    for name, words in FILE_PARAMETERS.items():
        value = kept.get(name)
        if isinstance(value, str) and value not in words:
            kept[name] = (files or {}).get(value, NamedFile(value))
    return kept
