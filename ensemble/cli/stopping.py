"""Ctrl-C: the first one ends a command in order, the second one at once."""

import contextlib
import os
import signal
import socket
import sys
import threading

from base_models.runtime.ending.callers import end_children
from ensemble.cli.errors import STOPPED

_KINDS = (signal.SIGINT, signal.SIGTERM)
_SOON = 2.0  # seconds that a command may take to end without a word
_ANEW = 0.05  # seconds until a stop that was dropped comes again
_SLOWLY = b"stopping what is under way; press Ctrl-C again to stop at once\n"
_AT_ONCE = b"stopped at once\n"

# What is there of a command that was stopped, and how to go on.
_KEPT = {
    "fit": "the folds that were done are in the store; run the same command to go on",
    "compare": "what was trained and scored of videos is in the store, of a table of "
    "scores nothing is kept; run the same command again",
    "predict": "the videos that were done are in the store; run the same command to go "
    "on",
    "scan": "files that were there are unchanged, but for pictures, videos and pages "
    "of what had been scanned; run the same command again",
    "index": "the videos that were opened are in the store; run the same command to go "
    "on",
    "explore": "the videos that were opened are in the store; run the same command to "
    "go on",
    "prepare": "the videos that were written stay; run the same command to go on",
    "forge": "the pairs that were written stay; run the same command to go on",
    "batch": "the parts that were written stay; run the same command to go on",
    "demo": "the clips and folds that were done stay; run the same command to go on",
    "serve": "scans that wait are kept; run the same command to go on (only with "
    "--token-file does the page keep its address and its history)",
    "get": "what was fetched stays; run the same command to go on",
    "export": "members may be written, each of them whole, and others not or as they "
    "were; run the same command again",
}
_STRESS = {
    True: "the videos that were done are in --scores; run the same command to go on",
    False: "nothing of it was kept; with --scores FILE the same command would go on",
}

_listener: list = []  # the one of this process


def what_is_kept(command: str | None, arguments: list[str]) -> str:
    """Say in a line what is left of a command that was stopped, and how to go on.

    Examples
    --------
    >>> from ensemble.cli.stopping import what_is_kept
    >>> what_is_kept("combine", [])
    'stopped; nothing was written, and files that were there are unchanged'
    """
    kept = _KEPT.get(
        command or "", "nothing was written, and files that were there are unchanged"
    )
    if command == "stress":
        kept = _STRESS[any(word.startswith("--scores") for word in arguments)]
    return f"stopped; {kept}"


def stop_on_signals() -> None:
    """Raise KeyboardInterrupt at the first Ctrl-C or SIGTERM; end at the second.

    A command that computes in compiled code hears of signals only when that returns. So
    a thread listens, too: it ends this process and its workers at the second signal.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # no signal comes here
    for kind in _KINDS:
        if signal.getsignal(kind) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(kind, _stop)
    if _listener:
        _listener[0].n_heard, _listener[0].is_quiet = 0, False
    else:
        _listener.append(_Listener())


def was_stopped() -> bool:
    """Return whether a signal has come, whatever error it ended in.

    One that interrupts an import may leave a module half loaded, of which others say
    that something is missing there.
    """
    return any(listener.n_heard for listener in _listener)


def say_no_more() -> None:
    """Have nothing said after the last line of a command that was stopped.

    A second Ctrl-C still ends at once what Python has to do then.
    """
    for listener in _listener:
        listener.is_quiet = True


def _stop(number, frame):
    for kind in _KINDS:  # a second error in the midst of ending would be a traceback
        signal.signal(kind, lambda number, frame: None)
    sys.unraisablehook = _not_lost
    raise KeyboardInterrupt


def _not_lost(unraisable):
    """Raise a stop again that came where Python drops errors, as in a finalizer."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
    elif hasattr(signal, "setitimer"):  # not under Windows
        signal.signal(signal.SIGALRM, _raise)
        signal.setitimer(signal.ITIMER_REAL, _ANEW)


def _raise(number, frame):
    raise KeyboardInterrupt


class _Listener:
    """A thread that hears of signals when they come."""

    def __init__(self):
        self.n_heard, self.is_quiet = 0, False
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            self._heard.settimeout(_SOON if self.n_heard == 1 else None)
            try:
                number = self._heard.recv(1)[0]
            except TimeoutError:
                if self.n_heard == 1:
                    self.n_heard = 2
                    if not self.is_quiet:
                        _say(_SLOWLY)
                continue
            if number not in _KINDS:
                continue
            if self.n_heard:
                _end_at_once()
            self.n_heard = 1


def _end_at_once():
    end_children()
    _say(_AT_ONCE)
    os._exit(STOPPED)


def _say(what):
    with contextlib.suppress(OSError):
        os.write(2, what)
