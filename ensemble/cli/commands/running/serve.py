"""``serve``: a page to drop videos on and an API to call."""

import importlib.util
import re
import socket
import threading
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli import options

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
_GRACE = 5  # seconds for answers that are under way when it ends
_MIB, _GIB = 2**20, 2**30


_Served = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL",
        help="As --model of scan: a saved ensemble, or checkpoints of networks.",
        show_default=False,
    ),
]
_Host = Annotated[
    str, typer.Option(help="Where to listen; 127.0.0.1 is this machine alone.")
]
_Port = Annotated[int, typer.Option(help="0 takes one that is free.", min=0, max=65535)]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with a token of your own, of 16 characters or more; a random one "
        "if not given. Needed to listen beyond this machine."
    ),
]
_AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="Name by which browsers call it, such as behind a proxy."),
]
_AllowUrls = Annotated[
    bool,
    typer.Option("--allow-urls", help="Take addresses of videos too, and fetch them."),
]
_Keep = Annotated[
    str,
    typer.Option(help="How long a scan and its files are kept: 90s, 30m, 1h, 2d."),
]
_Folder = Annotated[
    Path | None,
    typer.Option(help="Where files lie until then; one of your own if not given."),
]
_Upload = Annotated[int, typer.Option(help="MiB of one file, at most.", min=1)]
_Seconds = Annotated[float, typer.Option(help="That one scan may take.", min=1)]
_Memory = Annotated[
    float, typer.Option(help="GiB of memory for the process that scans.", min=0.25)
]
_Disk = Annotated[float, typer.Option(help="GiB for all files together.", min=0.25)]
_Queue = Annotated[int, typer.Option(help="Scans that may wait or run.", min=1)]
_Rate = Annotated[
    int, typer.Option(help="Scans a minute that one address may ask for.", min=1)
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
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Serve a page to drop videos on, and an API, on this machine."""
    _check_installed()
    from ensemble.serving.settings import ServedModel, ServerSettings

    token = {} if token_file is None else {"token": read_token(token_file)}
    settings = ServerSettings(
        host=host,
        port=port,
        allow_urls=allow_urls,
        keep_seconds=seconds_of(keep),
        allowed_hosts=tuple(allow_host or ()),
        upload_bytes=upload * _MIB,
        scan_seconds=seconds,
        worker_bytes=int(memory * _GIB),
        queue_length=queue,
        scans_per_minute=rate,
        disk_bytes=int(disk * _GIB),
        folder=folder,
        **token,
    )
    if not settings.is_local and not token:
        raise typer.BadParameter(
            f"--host {host} listens beyond this machine, and needs a token of your "
            "own: openssl rand -hex 32 > secret.txt; then --token-file secret.txt"
        )
    model = ServedModel(
        tuple(str(path) for path in models),
        "ensemble.cli.inputs:open_to_serve",
        {"device": device, "threshold": threshold, "prior": prior},
    )
    _run(model, settings, token_file, quiet)


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
            typer.echo(_where(settings, token_file))
            if not quiet:
                typer.echo(_kept(settings), err=True)
            _answer(uvicorn.Server(config), listener)


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


def _where(settings, token_file):
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    here = f"http://{host}:{settings.port}/"
    if token_file is not None:
        return f"open {here}?token=... with the token of {token_file}"
    return f"open {here}?token={settings.token}"


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

    check_file(path)
    token = path.read_text("utf-8", errors="replace").strip()
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
    >>> seconds_of("1h"), seconds_of("1.5m"), seconds_of("20")
    (3600.0, 90.0, 20.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
    if found is None or not float(found[1]) > 0:
        raise typer.BadParameter(
            f"--keep must be a time above 0, such as 90s, 30m, 1h or 2d; got {text!r}"
        )
    return float(found[1]) * _UNITS[found[2]]


def _check_installed():
    import os

    if os.name != "posix":
        raise typer.BadParameter("serve needs Linux or macOS")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"serve needs {', '.join(missing)}: pip install 'deepfake-ensemble[serve]'"
        )
