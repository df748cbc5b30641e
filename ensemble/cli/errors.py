"""How a command ends: its exit code, and what it says of an error, in its options."""

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping

DONE, SOME_UNSCORABLE, DRIFTED, FATAL, STOPPED = 0, 1, 1, 2, 130  # exit codes

# Parameters of the library that an option of another name sets.
_ALIASES = {
    "n_splits": "folds",
    "n_folds": "folds",
    "resampling": "folds",
    "n_boot": "draws",
    "n_jobs": "jobs",
    "random_state": "seed",
    "backbone": "backbones",
    "view": "views",
    "n_identities": "identities",
    "scores_file": "scores_file",
    "classes": "fake_first",
}
# What the library calls things that have another name, or none, at a terminal.
_PHRASES = [
    (r", or name some in hold_out=", ""),
    (r"(?:; |: |, or )give y\b", "; name their column with --label"),
    (r"\by (must|holds)\b", r"the labels \1"),
    (r"\bthe labels holds\b", "the labels hold"),
    (r"\bneeds metadata with\b", "needs a table with"),
    (r"; got one, \[.*\] is meant", ""),
    (r", or pass probabilities=False\b", ""),
    (r"read_scores\(\.\.\., invert=.*?\]\), .*?\]\), or on the command line ", ""),
    (
        r"allow more in a block of base_models\.reading_limits\(video_seconds=(\S+?)\)",
        r"allow more with --timeout \1",
    ),
    (r"rescale them, or set scale, to decide", "rescale them to decide"),
]


def in_options(text: str, options: Mapping[str, str]) -> str:
    """Say with the options of a command what was said with the library's parameters.

    Code stays code: what stands in a call, such as ``read_scores(..., label="x")``, is
    for who writes Python.

    Parameters
    ----------
    text : str
        Of an error or a warning.
    options : dict of str to str
        Parameter of the command -> its option, such as ``{"folds": "--folds"}``.

    Examples
    --------
    >>> from ensemble.cli.errors import in_options
    >>> in_options("use n_splits=3 or fewer", {"folds": "--folds"})
    'use --folds 3 or fewer'
    >>> in_options("give scope='frame' or scope='face'", {"scope": "--scope"})
    'give --scope frame or --scope face'
    """
    spelled = {name: option for name, option in options.items() if option}
    spelled |= {
        name: spelled[option] for name, option in _ALIASES.items() if option in spelled
    }
    if not spelled:
        return text

    def translated(match):
        name, value = match["name"], match["value"]
        if value in (None, "True") or name == "classes":
            return spelled[name]
        value = {"None": "none"}.get(value, value.strip("'\""))
        return f"{spelled[name]} {value}"

    names = "|".join(sorted(map(re.escape, spelled), key=len, reverse=True))
    value = r"'[^']*'|\"[^\"]*\"|\((?:'\w+', )*'\w+'\)|[\w./+-]*\w"
    text = _outside_calls(
        rf"(?<![\w.-])(?P<name>{names})=(?P<value>{value})?", translated, text
    )
    text = re.sub(rf"(?:^|(?<=: ))(?P<name>{names})(?= must\b| names\b| '| \")",
                  lambda match: spelled[match["name"]], text)  # fmt: skip
    for pattern, words in _PHRASES:
        text = re.sub(pattern, words, text)
    # A text that named both already says the option twice now.
    return re.sub(r"(--[\w-]+)(?:, \1\b| \(\1\))", r"\1", text)


def _outside_calls(pattern, translated, text):
    """Translate what matches, save in a call of Python, ``name(...)``."""
    parts, start = [], 0
    for first, end in _calls(text):
        parts += [re.sub(pattern, translated, text[start:first]), text[first:end]]
        start = end
    return "".join([*parts, re.sub(pattern, translated, text[start:])])


def _calls(text):
    """Yield where calls begin and end; one that is not closed ends with the text."""
    end = 0
    for found in re.finditer(r"[A-Za-z_][\w.]*\(", text):
        if found.start() < end:
            continue  # within another call
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield found.start(), end


def options_of(command, name: str | None) -> dict[str, str]:
    """Return the options of one command: parameter -> the longest spelling.

    Parameters
    ----------
    command : click Group
    name : str or None
        Of the command; an unknown one has no options.
    """
    named = command.commands.get(name)
    if named is None:
        return {}
    return {
        param.name: max(param.opts, key=len)
        for param in named.params
        if param.opts and param.opts[0].startswith("-")
    }


def _is_users(error):
    """Whether an error speaks of a value, a file, what is not installed: to the user.

    Anything else (a TypeError, a KeyError ...) is a fault of the program.
    """
    from base_models.errors import DivergedError
    from ensemble.errors import FailedDetectorsError

    kinds = (ValueError, OSError, ImportError, MemoryError, DivergedError)
    kinds = (*kinds, FailedDetectorsError)
    return isinstance(error, kinds)


def explain(error: Exception, options: Mapping[str, str], debug: bool) -> str:
    """Return what to print of an error that ended a command.

    Parameters
    ----------
    error : Exception
    options : dict of str to str
        See `in_options`.
    debug : bool
        Whether to print the traceback to standard error, too.
    """
    if debug:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        text = (
            "no space is left for standard output or a temporary file; free some and "
            "run again"
        )
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}); give fewer or smaller videos at once"
    if _is_users(error):
        return f"error: {in_options(text, options)}"
    kind = type(error).__name__
    message = "" if text == kind else f": {' '.join(text.split())}"
    advice = "" if debug else "; run again with --debug to see where, and report it"
    return f"internal error ({kind}{message}){advice}"


def taking_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out of the arguments, wherever it stands.

    Returns
    -------
    arguments : list of str
        Without it.
    debug : bool
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [a for a in arguments[:end] if a != "--debug"]
    debug = len(kept) < end
    if debug:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        for name in ("base_models", "ensemble"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.handlers = [handler]
    return kept + arguments[end:], debug
