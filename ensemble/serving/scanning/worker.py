"""The process that scans: its loop. It answers in JSON, and may die of a file."""

import hashlib
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_NICE = 5  # the page goes first
_PAUSE = 0.3  # seconds between words on one step
_GROWN = 2**30  # bytes above which it ends after a task, and another one begins


def main(descriptor: int) -> None:
    """Do what is asked for until nobody asks any more.

    Parameters
    ----------
    descriptor : int
        Of the socket to the server. First comes what `_opened` gets, then tasks.
    """
    from base_models.runtime.ending.callers import end_with_pipe
    from base_models.runtime.isolation.messages import receive_plain, send_plain

    end_with_pipe()
    os.umask(0o077)
    os.nice(_NICE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    asked, _ = receive_plain(connection)
    try:
        model, facts = _opened(**asked)
    except Exception as error:
        send_plain(connection, {"error": _words(error)})
        return
    send_plain(connection, {"ready": True, "model": facts})
    work = _Work(model, lambda message: send_plain(connection, message))
    while True:
        try:
            task, _ = receive_plain(connection)
        except (EOFError, OSError):
            return
        send_plain(connection, work.answer(task))


def _opened(opener, paths, options, cascade):
    """Return the model, and what is to be shown of it."""
    module, _, name = opener.partition(":")
    function: Callable = getattr(import_module(module), name)
    model = function(paths[0] if len(paths) == 1 else paths, **options)
    model.set_params(verbose=False, cascade=cascade)
    return model, model_facts(model)


def model_facts(model: Any) -> dict:
    """Return what the server says of its model, ready for JSON.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    dict
        ``file``, ``members``, what each of them ``looks_at``, ``threshold``,
        ``grounds``, ``card`` and ``summary``; ``empty``, why a verdict is never given;
        ``cascade``, how members are asked in turn, or None; ``key``, which differs
        between any two models, thresholds and cascades.
    """
    from ensemble.choices import FAKE, REAL
    from ensemble.inspection.member_words import looks_at
    from ensemble.inspection.scanned_model import model_file
    from ensemble.verdicts.threshold_and_prior import grounds

    limits = model.thresholds_
    facts = {
        "file": model_file(model),
        "members": list(model.detectors_),
        "looks_at": {name: looks_at(d) for name, d in model.detectors_.items()},
        "threshold": {"low": float(limits.low), "high": float(limits.high)},
        "grounds": grounds(model),
        "card": model.card_.to_dict(),
        "summary": model.card_.summary(),
        "empty": {
            verdict: why
            for verdict, why in (
                (FAKE, model.card_.empty_fake),
                (REAL, model.card_.empty_real),
            )
            if why
        },
    }
    in_turn = None if model.cascade is None else _in_turn(model)
    if in_turn is not None:  # without, the key is that of earlier servers
        facts["cascade"] = in_turn
    text = json.dumps(facts, sort_keys=True)
    facts |= {"cascade": in_turn, "key": hashlib.sha256(text.encode()).hexdigest()}
    return json.loads(json.dumps(facts), parse_constant=lambda name: None)


def _in_turn(model):
    """Say how members are asked in turn, and why that settles nothing, if so."""
    from ensemble.cascade.settling import Settling, what_is_promised

    settling = Settling(model, doubts=True, by_frames=False)  # as a scan
    return {
        "setting": model.cascade,
        "order": settling.cascade.order,
        "problem": settling.problem,
        "said": what_is_promised(model, doubts=True, by_frames=False),
    }


class _Work:
    """Does tasks, and remembers how much memory there was in use before them."""

    def __init__(self, model, send):
        from ensemble.serving.scanning.products import Products

        self._products, self._send = Products(model), send
        self._began_with = _memory_in_use()
        self._told = 0.0, ""  # when, and what

    def answer(self, task: Mapping[str, Any]) -> dict:
        """Do one task, tell of its progress, and return how it ended."""
        from base_models.limits import reading_limits
        from ensemble.serving.scanning.products import Unreadable, without_path

        upload, name = Path(task["upload"]), task["name"]
        try:
            with reading_limits(
                video_seconds=task["seconds"],
                video_bytes=task["bytes"],
                isolation="process",
            ):
                found = self._products.make(task["kind"], upload, name, self._tell)
        except Unreadable as error:
            return {"failed": str(error)}
        except Exception as error:
            return {"failed": without_path(_words(error), upload, name)}
        return {"done": found, "leaves": _memory_in_use() - self._began_with > _GROWN}

    def _tell(self, share, what):
        now = time.monotonic()
        if what != self._told[1] or now - self._told[0] > _PAUSE:
            self._told = now, what
            self._send({"progress": share, "doing": what})


def _words(error):
    from base_models.runtime.failures import reason_of

    is_of_command = hasattr(error, "format_message")  # of click
    if is_of_command or isinstance(error, (ValueError, ImportError)):  # for people
        return str(error) or type(error).__name__
    return reason_of(error)


def _memory_in_use():
    """Return the bytes of memory that this process holds; 0 where it cannot be seen."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
