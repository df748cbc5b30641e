"""``serve``: a page to drop videos on and an API to call."""

import importlib.util
import ipaddress
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ensemble.cli import options
from ensemble.cli.output import cascade_asked

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble serve model.dfe\n\n"
    "  deepfake-ensemble serve model.dfe --port 9000 --keep 10m --allow-urls\n\n"
    "  deepfake-ensemble serve model.dfe --host 0.0.0.0 --token-file secret.txt "
    "--allow-host videos.example.org\n\n"
    "Whoever has the address that it prints may use it; nobody else. A server that is "
    "started again goes on with the scans that wait."
)
_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "psutil",
           "aiohttp", "jinja2", "matplotlib", "captum")  # fmt: skip
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_TOKEN = 16  # characters
_LONGEST = 1000 * 86400  # seconds
_GRACE = 5  # seconds for answers that are under way when it ends
_MIB, _GIB = 2**20, 2**30
_OPENLY = (
    "this is plain HTTP: whoever is on the way can read the token and the files; "
    "beyond a network that you trust, put a proxy with TLS before it, and allow its "
    "name (--allow-host)"
)


_Served = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL",
        help="As --model of scan: a saved ensemble that `fit` or `assemble` wrote, or "
        "checkpoints of networks (`models` lists published ones).",
        show_default=False,
    ),
]
_Host = Annotated[
    str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine only.")
]
_Port = Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with a token of your own, of 16 characters or more (openssl rand "
        "-hex 32 > secret.txt); a random one if not given. Needed to listen beyond "
        "this machine."
    ),
]
_AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Host name that browsers use, for example behind a proxy: "
        "videos.example.org. A path below another site is not possible."
    ),
]
_AllowUrls = Annotated[
    bool,
    typer.Option(
        "--allow-urls", help="Also accept addresses of videos, and fetch them."
    ),
]
_Keep = Annotated[
    str,
    typer.Option(help="How long scans and files are kept: 90s, 30m, 1h, 2d."),
]
_Folder = Annotated[
    Path | None,
    typer.Option(
        help="Folder for files and for the queue (jobs.sqlite). Default: one for this "
        "port in your user's state folder "
        "(~/.local/state/deepfake-ensemble/serve on Linux)."
    ),
]
_Upload = Annotated[int, typer.Option(help="Largest upload, MiB.", min=1)]
_Seconds = Annotated[float, typer.Option(help="Time limit of one scan.", min=1)]
_Memory = Annotated[
    float, typer.Option(help="Memory limit of the scanning process, GiB.", min=0.25)
]
_Disk = Annotated[
    float, typer.Option(help="Disk limit for all files together, GiB.", min=0.25)
]
_Queue = Annotated[int, typer.Option(help="Most scans that may wait or run.", min=1)]
_Rate = Annotated[
    int,
    typer.Option(
        help="Scans per minute from one address. Behind a proxy or a shared office "
        "address all users count together: allow more.",
        min=1,
    ),
]
_Cascade = Annotated[
    str | None,
    typer.Option(
        help="Ask members in turn, as --cascade of predict does; pages say who was not "
        "asked. Default: all are asked.",
        metavar="exact|SHARE",
    ),
]
_Log = Annotated[
    Path | None,
    typer.Option(
        help="Append one line per request to this file (time, method, path, status, "
        "seconds; no tokens, no file names). Default: standard error, or nowhere with "
        "--quiet.",
        dir_okay=False,
    ),
]


def serve(
    models: _Served,
    host: _Host = "127.0.0.1",
    port: _Port = 8000,
    token_file: _TokenFile = None,
    allow_host: _AllowHost = None,
    allow_urls: _AllowUrls = False,
    keep: _Keep = "1h",
    folder: _Folder = None,
    upload: _Upload = 512,
    seconds: _Seconds = 600.0,
    memory: _Memory = 4.0,
    disk: _Disk = 8.0,
    queue: _Queue = 32,
    rate: _Rate = 30,
    log: _Log = None,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    cascade: _Cascade = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Start a web page to drop videos on, and an HTTP API, on this machine."""
    _check_installed()
    from ensemble.serving.settings import ServedModel, ServerSettings

    in_turn = cascade_asked(cascade)
    token = {} if token_file is None else {"token": read_token(token_file)}
    if upload * _MIB > disk * _GIB:
        raise typer.BadParameter(
            f"--upload {upload} (MiB) is more than --disk {disk:g} (GiB) can hold; "
            "give a smaller --upload or a larger --disk"
        )
    settings = ServerSettings(
        host=host,
        port=port,
        allow_urls=allow_urls,
        keep_seconds=seconds_of(keep),
        allowed_hosts=tuple(name_of(name) for name in allow_host or ()),
        upload_bytes=upload * _MIB,
        scan_seconds=seconds,
        worker_bytes=int(memory * _GIB),
        queue_length=queue,
        scans_per_minute=rate,
        disk_bytes=int(disk * _GIB),
        folder=folder,
        token_lasts=bool(token),
        **token,
        **in_turn,
    )
    _check_reach(settings, token)
    model = ServedModel(
        tuple(str(path) for path in models),
        "ensemble.cli.inputs:open_to_serve",
        {"device": device, "threshold": threshold, "prior": prior},
    )
    _check_files(models, token_file, log)
    with requests_noted(log, quiet):
        _run(model, settings, token_file, quiet)


def _check_reach(settings, token):
    """Refuse to listen beyond this machine with a token that is only printed."""
    if not settings.is_local and not token:
        raise typer.BadParameter(
            f"--host {settings.host} listens beyond this machine, and needs a token of "
            "your own: openssl rand -hex 32 > secret.txt; then --token-file secret.txt"
        )


def _check_files(models, token_file, log):
    """Refuse a model that is not there, and a log that would end in what is read."""
    for path in models:
        if path.suffix == ".dfe" and not path.exists():
            raise typer.BadParameter(
                f"there is no file {path}. `deepfake-ensemble fit` or `assemble` "
                "writes one, and a checkpoint does instead: `deepfake-ensemble models` "
                "lists published ones"
            )
    if log is not None and log.resolve() in {
        p.resolve() for p in (*models, *([token_file] if token_file else []))
    }:
        raise typer.BadParameter(f"--log {log} would be written into what is read")
    if log is not None:
        _check_log(log)


def _check_log(log):
    """Refuse to append to what is no log of ours: it may be somebody's only copy."""
    from ensemble.reporting.outputs import OutputError, check_ending
    from ensemble.serving.access_log import is_log

    try:
        check_ending(log, "log")
    except OutputError as error:
        raise typer.BadParameter(f"--log: {error}") from error
    if log.is_file() and not is_log(log):
        raise typer.BadParameter(
            f"--log {log} exists, and is no log that serve wrote: its first line is "
            "not that of a request. Give another name"
        )


def _run(model, settings, token_file, quiet):
    """Listen, load the model, say where, and answer until it is stopped."""
    import uvicorn

    from ensemble.serving.app import at_work, create_app

    with listening(settings.host, settings.port) as listener:
        settings = settings.on_port(listener.getsockname()[1])
        app = create_app(model, settings)
        if not quiet:
            typer.echo("loading the model ...", err=True)
        with at_work(app):
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,  # it would hold tokens
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            )
            if not quiet:
                _say_in_turn(app.state.scanner.model_facts["cascade"])
            typer.echo(_where(settings, token_file))
            if not settings.is_local and not quiet:
                typer.echo(_OPENLY, err=True)
            if not quiet:
                typer.echo(_kept(settings), err=True)
            _answer(uvicorn.Server(config), listener)


def _say_in_turn(in_turn):
    """Say how members are asked; that this saves nothing is a warning already."""
    from ensemble.cli.tables import visible

    if in_turn is not None:
        for sentence in in_turn["said"][: -1 if in_turn["problem"] else None]:
            typer.echo(visible(sentence), err=True)  # the file may be of others


def _answer(server, listener):
    """Answer until a signal comes; answers that are under way are given before."""
    thread = threading.Thread(  # where it leaves signals to us
        target=server.run, args=([listener],), name="server", daemon=True
    )
    thread.start()
    try:
        thread.join()
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def requests_noted(log: Path | None, quiet: bool) -> Iterator[None]:
    """Have a line a request written while this block lasts.

    Parameters
    ----------
    log : Path or None
        To append to; where it was moved away, as logrotate does, a new one begins.
        None is standard error.
    quiet : bool
        Nothing to standard error.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import logging
    from logging.handlers import WatchedFileHandler

    from ensemble.serving.access_log import LOGGER

    # Without a handler of its own --debug would write the lines in spite of --quiet.
    handler = logging.NullHandler() if quiet else logging.StreamHandler()
    if log is not None:  # for its owner alone
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = WatchedFileHandler(log, encoding="utf-8")
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        handler.close()


def _where(settings, token_file):
    hosts = _names(settings)
    addresses = [f"http://{host}:{settings.port}/" for host in hosts]
    if token_file is not None:
        said = (
            f"open {' or '.join(addresses)} and give the token that {token_file} holds"
        )
        return f"{said}, or add ?token= and the token to the address"
    return f"open {addresses[0]}?token={settings.token}"


def _names(settings):
    """Return by which names or numbers browsers reach it: one that listens on all."""
    try:
        is_all = ipaddress.ip_address(settings.host).is_unspecified
    except ValueError:
        is_all = False
    names = _own_names() if is_all else [settings.host]
    return [f"[{name}]" if ":" in name else name for name in names]


def _own_names():
    """Return this machine's loopback address, its name, and its address outwards."""
    names = ["127.0.0.1", socket.gethostname()]
    with (
        suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outwards,
    ):
        outwards.connect(("192.0.2.1", 9))  # sends nothing
        names.append(outwards.getsockname()[0])
    return list(dict.fromkeys(names))


def name_of(host: str) -> str:
    """Return the name of a host that was given as a name or as an address.

    Raises
    ------
    typer.BadParameter

    Examples
    --------
    >>> from ensemble.cli.commands.running.serve import name_of
    >>> name_of("videos.example.org"), name_of("https://Videos.example.org:8443/")
    ('videos.example.org', 'videos.example.org')
    """
    text = host.strip()
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        name = parts.hostname or ""
    except ValueError:
        name = ""
    has_more = bool(name) and parts.path not in ("", "/")
    if has_more or not re.fullmatch(r"[\w.:-]+", name):
        raise typer.BadParameter(
            f"--allow-host takes a name alone, such as videos.example.org; got {host!r}"
        )
    return name


def _kept(settings):
    return (
        f"scans and their files are kept for {_in_words(settings.keep_seconds)}, in "
        f"{settings.files}; Ctrl-C ends it"
    )


def _in_words(seconds):
    unit = max(
        (unit for unit in _UNITS if seconds % _UNITS[unit] == 0),
        key=lambda unit: (_UNITS[unit], unit),
        default="s",
    )
    return f"{seconds / _UNITS[unit]:g} {unit}"


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    OSError
        Naming what is taken or unknown, and what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise OSError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}); give "
            "another --port or --host"
        ) from None


def read_token(path: Path) -> str:
    """Return the token of a file.

    Raises
    ------
    ValueError
        If it is too short to be a secret, or holds what no header can.
    """
    from base_models.limits import check_file

    try:
        check_file(path)
        token = path.read_text("utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise ValueError(
            f"--token-file {path} is not there; make one with: openssl rand -hex 32 > "
            f"{path}"
        ) from None
    if len(token) < _LEAST_TOKEN or not re.fullmatch(r"[!-~]+", token):
        raise ValueError(
            f"{path} must hold one token of {_LEAST_TOKEN} characters or more, "
            "letters, digits and signs without spaces; make one with: openssl rand "
            f"-hex 32 > {path}"
        )
    return token


def seconds_of(text: str) -> float:
    """Return the seconds that a time such as ``1h`` stands for.

    Examples
    --------
    >>> from ensemble.cli.commands.running.serve import seconds_of
    >>> seconds_of("1h"), seconds_of("1.5m"), seconds_of("20s")
    (3600.0, 90.0, 20.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise typer.BadParameter(
            "--keep must be a time above 0 with its unit, such as 90s, 30m, 1h or 2d, "
            f"and of 1000 days at most; got {text!r}"
        )
    return seconds


def _check_installed():
    if os.name != "posix":
        raise typer.BadParameter("serve needs Linux or macOS")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"serve needs {', '.join(missing)}: pip install 'deepfake-ensemble[serve]'"
        )
