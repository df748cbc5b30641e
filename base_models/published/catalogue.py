"""The list of published checkpoints: one line of ``models.jsonl`` a checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from base_models.naming import did_you_mean
from base_models.runtime.caches import cached


@dataclass(frozen=True)
class PublishedModel:
    """A checkpoint that somebody publishes, and that `load_checkpoint` reads.

    Or weights of a foundation model, to start from: then it has a `backbone`.

    Attributes
    ----------
    name : str
        How `fetch_model` and ``--model`` call it.
    page : str
        Where its publisher describes it.
    url : str or None
        Of the file, or of the archive that holds it; None where there is no direct
        link, so that somebody has to fetch it by hand from the page.
    member : str or None
        Its path in the archive (a wheel is one).
    file : str
        The file's name.
    licence, licence_url : str
        As its publisher states it; ``"unknown"`` where nothing is stated.
    trained_on : list of str
    figures : str
        What its publisher measured; ``"unknown"`` where nothing is published of this
        very file.
    size : int or None
        Bytes; None is unknown.
    sha256 : str or None
        Of the file; None is unknown, and then recorded at the first fetch.
    load : dict
        For `load_checkpoint`: what the network looks at.
    note : str
        What to know before using it.
    backbone : str
        Of weights to start from: the network, as `base_models.FrameDetector` calls it.
        Empty for a detector.
    """

    name: str
    page: str
    url: str | None
    member: str | None
    file: str
    licence: str
    licence_url: str
    trained_on: list[str]
    figures: str
    size: int | None
    sha256: str | None
    load: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    backbone: str = ""

    @property
    def use(self) -> str:
        """How the command line takes it."""
        if not self.backbone:
            return f"--model {self.name}"
        return f"fit --backbones {self.backbone} --weights {self.name}"


@cached(maxsize=1)
def _entries() -> dict[str, PublishedModel]:
    lines = files("base_models.published").joinpath("models.jsonl")
    entries = [
        PublishedModel(**json.loads(line))
        for line in lines.read_text("utf-8").splitlines()
    ]
    return {entry.name: entry for entry in entries}


def published_models() -> list[PublishedModel]:
    """Return the checkpoints of the field that `load_checkpoint` can read.

    And foundation models to start from, which have a ``backbone``. Nothing is fetched.

    Returns
    -------
    list of PublishedModel

    Examples
    --------
    >>> from base_models.published import published_models
    >>> names = [model.name for model in published_models()]
    >>> "faceforensics-full-c23" in names, "mesonet-meso4-df" in names
    (True, True)
    """
    return list(_entries().values())


def published_model(name: str) -> PublishedModel:
    """Return one of the published checkpoints.

    Parameters
    ----------
    name : str

    Returns
    -------
    PublishedModel

    Raises
    ------
    ValueError
        For a name that is not on the list.

    Examples
    --------
    >>> from base_models.published import published_model
    >>> published_model("mesonet-meso4-df").licence
    'Apache-2.0'
    """
    entries = _entries()
    if name not in entries:
        raise ValueError(
            f"no published model is called {name!r}{did_you_mean(name, entries)}; "
            "published_models() and deepfake-ensemble models list them"
        )
    return entries[name]
