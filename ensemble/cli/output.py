"""Results, on standard output or in files: written as they come, whatever they hold."""

import json
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    import pandas as pd


def write_what_can_be_written(*streams: TextIO) -> None:
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


def write_out(text: str) -> None:
    """Write text to standard output, at once and in its encoding."""
    from base_models.runtime.file_writing import naming

    with naming("standard output"):
        sys.stdout.write(text)
        sys.stdout.flush()


def is_printed(*files: Path | None) -> bool:
    """Whether standard output is for data: one of the files of a command is ``-``."""
    return "-" in map(str, files)


def write_text(path: Path | None, text: str) -> None:
    """Write text to a file, or print it for ``-``; write nothing for None."""
    from base_models.runtime.file_writing import write_text as write_file

    if path is None:
        return
    if str(path) == "-":
        write_out(text)
        return
    write_file(path, text)


def free_name(path: Path, word: str) -> Path:
    """Return a name beside a file, with a word in it, that nothing has.

    Examples
    --------
    >>> from pathlib import Path
    >>> from ensemble.cli.output import free_name
    >>> free_name(Path("nowhere/scores.csv"), "stopped").name
    'scores-stopped.csv'
    """
    found = path.with_stem(f"{path.stem}-{word}")
    number = 1
    while os.path.lexists(found):
        number += 1
        found = path.with_stem(f"{path.stem}-{word}-{number}")
    return found


def write_csv(path: Path | None, table: "pd.DataFrame", **how) -> None:
    """Write a table as `write_text` does; `how` is for `DataFrame.to_csv`."""
    if path is not None:
        write_text(path, table.to_csv(lineterminator="\n", **how))


def write_json(path: Path | None, content) -> None:
    """Write what JSON can hold as `write_text` does."""
    if path is not None:
        write_text(path, json.dumps(content, indent=1) + "\n")


class Writings:
    """Tries to write each of several outputs; what fails is an error at the end.

    One that cannot be written keeps none of the others from being written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.cli.output import Writings, write_json
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "taken").mkdir()
    >>> writings = Writings()
    >>> writings.attempt(write_json, folder / "taken", [1])
    False
    >>> writings.attempt(write_json, folder / "free.json", [2])
    True
    >>> try:
    ...     writings.check()
    ... except OSError as error:
    ...     print(str(error).replace(str(folder), "FOLDER"))
    FOLDER/taken is a folder; give the name of a file
    >>> (folder / "free.json").read_text().split()
    ['[', '2', ']']
    """

    def __init__(self) -> None:
        self._errors: list[OSError] = []

    def attempt(self, write: Callable[..., Any], *what: Any, **how: Any) -> bool:
        """Call a function that writes; keep the error of one that cannot.

        Returns
        -------
        bool
            Whether it could.
        """
        try:
            write(*what, **how)
        except OSError as error:
            self._errors.append(error)
            return False
        return True

    def check(self) -> None:
        """Raise the first error, after all others are told."""
        for error in self._errors[1:]:
            typer.echo(f"error: {error}", err=True)
        if self._errors:
            raise self._errors[0]


def say_grounds(model, quiet: bool) -> None:
    """Say what verdicts stand on; of that, whoever is quiet sees the card alone."""
    from ensemble.cli.tables import visible
    from ensemble.verdicts.threshold_and_prior import grounds

    for sentence in [model.card_.summary()] if quiet else grounds(model):
        typer.echo(visible(sentence), err=True)  # the file may be of others


def cascade_asked(text: str | None) -> dict:
    """Return the parameter that --cascade sets, if it was given.

    Parameters
    ----------
    text : str or None

    Returns
    -------
    dict
    """
    if text is None:
        return {}
    from ensemble.cascade.costs import parse_cascade

    return {"cascade": parse_cascade(text)}


def say_cascade(model, doubts: bool, quiet: bool, by_frames: bool = True) -> None:
    """Say in which order a model's members were asked, and what is promised of that.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    doubts, quiet : bool
    by_frames : bool, default=True
        Whether members looked at a part of their frames first, where they can.
    """
    if quiet or model.cascade is None:
        return
    from ensemble.cascade.settling import what_is_promised
    from ensemble.cli.tables import visible

    for sentence in what_is_promised(model, doubts, by_frames):
        typer.echo(visible(sentence), err=True)  # the file may be of others


def say_unscorable(n_unscorable: int, n_videos: int, where: str) -> None:
    """Say last how many videos have no score, and where they and why are listed.

    Parameters
    ----------
    n_unscorable, n_videos : int
    where : str
    """
    if n_unscorable and n_videos > 1:
        typer.echo(
            f"{n_unscorable:,} of {n_videos:,} videos have no score: {where}",
            err=True,
        )


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
    >>> from ensemble.cli.output import VerdictStream
    >>> with VerdictStream("csv", ["a.mp4"]) as stream:
    ...     verdict = {"p_fake": [0.25], "verdict": "REAL", "status": "scored"}
    ...     stream.add(pd.DataFrame(verdict, pd.Index(["a.mp4"], name="video")))
    video,p_fake,verdict,status
    a.mp4,0.25,REAL,scored
    """

    def __init__(self, form: str, names: Sequence[str]) -> None:
        self.statuses: list[str] = []
        self._form, self._lines = form, None
        if form == "lines":
            from base_models.video.paths import video_id
            from ensemble.cli.tables import VerdictLines

            self._lines = VerdictLines([video_id(name) for name in names])

    def __enter__(self):
        if self._form == "json":
            write_out("[")
        return self

    def __exit__(self, kind, error, where):
        if self._form == "json" and kind is None:
            write_out("\n]\n")

    def add(self, table: "pd.DataFrame") -> None:
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
