"""Where the command begins: Ctrl-C while it is still being loaded ends it in order."""

import sys
from collections.abc import Sequence

_STOPPED = 130  # as `ensemble.cli.errors` has it, which is not loaded yet


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the command line, run it and leave with its exit code.

    Parameters
    ----------
    arguments : list of str or None, default=None
        None takes those of the process.
    """
    try:
        from ensemble.cli import app
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was begun\n")
        sys.exit(_STOPPED)
    app.main(arguments)
