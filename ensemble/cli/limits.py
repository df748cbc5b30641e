"""``--timeout`` and ``--isolation``: of all commands that read videos."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated

import typer

from base_models.limits import ISOLATIONS, Limits, reading_limits
from ensemble.cli.options import choice, listed

_NAMES = tuple(str(name or "none") for name in ISOLATIONS)
IsolationName = choice("IsolationName", _NAMES)

Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Time limit for reading one video; beyond it the video has no score. "
        f"Default: {Limits().video_seconds:g}. A decoder that hangs is stopped only "
        "with --isolation process.",
    ),
]
Isolation = Annotated[
    IsolationName,
    typer.Option(
        help="process: videos are read in a separate process, so that one that "
        "crashes it, hangs or needs too much memory does not end the run.",
        metavar=listed(_NAMES),
    ),
]


def reads_videos(command: Callable, isolation: str = "none") -> Callable:
    """Give a command options for what reading a video may take.

    Parameters
    ----------
    command : function of a command
    isolation : {"none", "process"}, default="none"
        What holds if the option is not given.

    Returns
    -------
    callable
        With both options before those of all commands, such as ``--quiet``.
    """

    @wraps(command)
    def within_limits(*arguments, timeout, isolation, **options):
        name = getattr(isolation, "value", isolation)
        changed = {"isolation": None if name == "none" else name}
        if timeout is not None:
            if not timeout > 0:
                raise typer.BadParameter(
                    f"--timeout must be above 0 seconds; got {timeout:g}"
                )
            changed["video_seconds"] = timeout
        with reading_limits(**changed):
            return command(*arguments, **options)

    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )
        for name, default, kind in (
            ("timeout", None, Timeout),
            ("isolation", IsolationName(isolation), Isolation),
        )
    ]
    signature = inspect.signature(command)
    parameters = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in signature.parameters.values()
    ]
    at = next(
        (n for n, each in enumerate(parameters) if each.name in ("overwrite", "quiet")),
        len(parameters),
    )
    parameters[at:at] = added
    within_limits.__signature__ = signature.replace(parameters=parameters)
    within_limits.__annotations__ = {each.name: each.annotation for each in parameters}
    return within_limits
