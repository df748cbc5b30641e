"""What a server may take, where it listens and which model it serves."""

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from ensemble.cascade.costs import check_cascade

POLICY = (  # of pages: what they may load
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ServerSettings:
    """What a server may take, where it listens and where its files lie.

    Attributes
    ----------
    host : str, default="127.0.0.1"
    port : int, default=8000
        0 is one that is free.
    token : str
        Who has it may use the server; random unless given.
    allow_urls : bool, default=False
        Whether addresses may be given in place of files, which the server fetches.
    keep_seconds : float, default=3600.0
        After which all files of a scan are deleted, counted from its end.
    allowed_hosts : tuple of str
        Names by which browsers may call the server, beside `host` and, where that is
        one of them, the names of this machine.
    upload_bytes : int, default=512 * 2**20
        Of one file.
    scan_seconds : float, default=600.0
        That one scan may take; reading the video is bounded by the same.
    worker_bytes : int, default=4 * 2**30
        Of memory, for the process that scans: the model and what a scan takes.
    queue_length : int, default=32
        Scans that wait or run.
    scans_per_minute : int, default=30
        From one address.
    disk_bytes : int, default=8 * 2**30
        For all files of the server.
    folder : Path or None, default=None
        Where these lie, open to nobody else; None is one of this user for this port.
        A server that is started again on the same folder goes on with what waits there.
    token_lasts : bool, default=False
        Whether a server that is started again has the same token, so that browsers
        still find what they sent.
    cascade : None, "exact" or float, default=None
        Whether members are asked in turn until the verdict on a file is settled, as
        ``DeepfakeEnsemble(cascade=...)`` says. None asks all of them, whatever the
        model was fitted with.

    Examples
    --------
    >>> from ensemble.serving.settings import ServerSettings
    >>> settings = ServerSettings(port=9000)
    >>> settings.is_local, len(settings.token) > 40
    (True, True)
    >>> ServerSettings(keep_seconds=0)
    Traceback (most recent call last):
    ValueError: keep_seconds must be above 0; got 0
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    allow_urls: bool = False
    keep_seconds: float = 3600.0
    allowed_hosts: tuple[str, ...] = ()
    upload_bytes: int = 512 * 2**20
    scan_seconds: float = 600.0
    worker_bytes: int = 4 * 2**30
    queue_length: int = 32
    scans_per_minute: int = 30
    disk_bytes: int = 8 * 2**30
    folder: Path | None = None
    token_lasts: bool = False
    cascade: str | float | None = None

    def __post_init__(self) -> None:
        for name in (
            "keep_seconds", "upload_bytes", "scan_seconds", "worker_bytes",
            "queue_length", "scans_per_minute", "disk_bytes",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")
        check_cascade(self.cascade, None)
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port must be from 0 to 65535; got {self.port}")
        if not self.token.strip():
            raise ValueError(
                "token is empty; give one, or leave it out for a random one"
            )

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def on_port(self, port: int) -> "ServerSettings":
        """Return the same on the port that it listens on, with its folder as it is."""
        return replace(self, port=port, folder=self.files)

    @property
    def files(self) -> Path:
        """The folder for what it keeps."""
        if self.folder is not None:
            return Path(self.folder)
        return user_state_path("deepfake-ensemble") / "serve" / str(self.port)


@dataclass(frozen=True)
class ServedModel:
    """How the process that scans comes by its model.

    Attributes
    ----------
    paths : tuple of str
        What `opener` gets first.
    opener : str, default="ensemble.loading:load"
        "module:function". It returns a fitted ensemble.
    options : mapping
        Further arguments by name; JSON must be able to hold them.

    Examples
    --------
    >>> from ensemble.serving.settings import ServedModel
    >>> ServedModel.of("model.dfe").paths
    ('model.dfe',)
    """

    paths: tuple[str, ...]
    opener: str = "ensemble.loading:load"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: "ServedModel | str | PathLike | Sequence") -> "ServedModel":
        """Return what serves a model that is given by its path."""
        if isinstance(model, ServedModel):
            return model
        if isinstance(model, (str, PathLike)):
            return cls((fspath(model),))
        return cls(tuple(fspath(path) for path in model))
