"""Results on standard output: written as they come, whatever can be printed there."""

import json
import os
import sys
import textwrap


def write_what_can_be_written(*streams):
    """Let streams escape what their encoding lacks, in place of raising an error.

    A name may hold what a terminal of another language, or no UTF-8 at all, cannot
    show; hours of work must not end there.

    Parameters
    ----------
    *streams : text streams
        Those that cannot be changed, as of a test or a notebook, stay as they are.
    """
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write_out(text):
    """Write text to standard output, at once and in its encoding.

    Parameters
    ----------
    text : str
    """
    sys.stdout.write(text)
    sys.stdout.flush()


class VerdictStream:
    """Writes verdicts to standard output, each as soon as it is there.

    A run that is stopped keeps what it wrote; JSON is then without its last bracket.

    Parameters
    ----------
    form : {"lines", "csv", "json"}
    names : sequence of str
        Of the videos that will come.

    Attributes
    ----------
    statuses : list of str
        Of the videos so far.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.cli.streams import VerdictStream
    >>> with VerdictStream("csv", ["a.mp4"]) as stream:
    ...     verdict = {"p_fake": [0.25], "verdict": "REAL", "status": "scored"}
    ...     stream.add(pd.DataFrame(verdict, pd.Index(["a.mp4"], name="video")))
    video,p_fake,verdict,status
    a.mp4,0.25,REAL,scored
    """

    def __init__(self, form, names):
        self.statuses = []
        self._form, self._lines = form, None
        if form == "lines":
            from ensemble.cli.tables import VerdictLines

            self._lines = VerdictLines([os.path.abspath(name) for name in names])

    def __enter__(self):
        if self._form == "json":
            write_out("[")
        return self

    def __exit__(self, kind, error, where):
        if self._form == "json" and kind is None:
            write_out("\n]\n")

    def add(self, table):
        """Write the verdict on one video.

        Parameters
        ----------
        table : DataFrame of one row
            From `DeepfakeEnsemble.judge_each`.
        """
        first = not self.statuses
        if self._lines is not None:
            self._lines.add(table)
        elif self._form == "csv":
            write_out(table.to_csv(header=first, lineterminator="\n"))
        else:
            row = table.reset_index().astype(object)
            (row,) = row.where(row.notna(), None).to_dict("records")
            row = textwrap.indent(json.dumps(row, indent=1), " ")
            write_out(("\n" if first else ",\n") + row)
        self.statuses += table["status"].tolist()
