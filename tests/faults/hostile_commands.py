"""Hostile command lines: each command with arguments nobody should give, and odd files.

Right is exit code 0, 1 or 2 with words of ours, and no traceback or "internal error".
"""

import contextlib
import functools
import io
import os
import random
from pathlib import Path

from hostile import Tricks
from trials import each_in_process

SAVED = Path(__file__).resolve().parents[1] / "saved_models" / "version_1"
lines = Tricks()
# Not `demo`, which works for minutes, nor what fetches from the network.
COMMANDS = (
    "fit",
    "predict",
    "scan",
    "stress",
    "watch",
    "compare",
    "combine",
    "apply",
    "index",
    "explore",
    "prepare",
    "forge",
    "batch",
    "assemble",
    "convert",
    "export",
    "verify",
    "models",
)
ODD_TEXT = [
    "",
    " ",
    "-",
    "--",
    "-1",
    "0",
    "1e999",
    "nan",
    "inf",
    "99999999999999999999",
    "\u202e",
    "\ud800",
    "a" * 5000,
    "../x",
    "$(touch x)",
    "%s",
    "{{7*7}}",
    "<b>",
    "None",
    "a,b,,",
    ",",
    "=",
    "fpr=",
    "fpr=2",
    "cost=-1",
    "p_*",
    "*",
    "[",
    "(",
    "\\",
    "http://",
    "https://127.0.0.1:1/x",
    "file://x",
    "tcp://127.0.0.1:1",
    "~nobody/x",
    "\n",
    "three-way",
]
# No absolute paths, nor any that lead out of the folder: a command may write there.


def commands(n, seed, folder):
    """Try command lines, in the process, through the program's own entry."""
    marker, folder = folder / "executed", folder / "one" / "two"
    folder.mkdir(parents=True)
    _write_files(folder)
    return each_in_process(
        functools.partial(_trial, folder, marker),
        lines.cases(n, seed),
        seconds=60,
        mib=1500,
        marker=marker,
        warm=_warm,
    )


def _write_files(folder):
    rows = "".join(
        f"c{n}.mp4,{n % 2},g{n // 2},{0.2 + 0.6 * (n % 2)},0.{n + 10}\n"
        for n in range(20)
    )
    (folder / "scores.csv").write_text("video,label,group,p_one,p_two\n" + rows)
    (folder / "videos.csv").write_text("path,label\na.mp4,0\nb.mp4,1\n")
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"no video")
    (folder / "empty.csv").write_text("")
    (folder / "binary.csv").write_bytes(os.urandom(200))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "net.pth").write_bytes(b"cposix\nmkdir\n(V" + b"x\ntR.")
    (folder / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    (folder / "broken.dfe").write_bytes((SAVED / "reals_alone.dfe").read_bytes()[:-500])
    (folder / "model.dfe").write_bytes((SAVED / "reals_alone.dfe").read_bytes())
    (folder / "folder").mkdir()
    (folder / "folder" / "metadata.json").write_text("[1]")
    (folder / "real").mkdir()
    (folder / "fake").mkdir()
    (folder / "real" / "a.mp4").write_bytes(b"no video")
    (folder / "fake" / "b.mp4").write_bytes(b"neither")


FILES = (
    "scores.csv",
    "videos.csv",
    "a.mp4",
    "empty.csv",
    "binary.csv",
    "deep.json",
    "net.pth",
    "net.h5",
    "broken.dfe",
    "model.dfe",
    "folder",
    ".",
    "missing.csv",
    "missing.dfe",
    "missing.mp4",
)


def _warm():
    import typer

    from ensemble.cli.app import app

    typer.main.get_command(app)


@functools.lru_cache
def _options(command):
    """Return the names of a command's options; of each, whether it takes a value."""
    import typer

    from ensemble.cli.app import app

    found = typer.main.get_command(app).commands[command].params
    return {
        max(param.opts, key=len): not getattr(param, "is_flag", False)
        for param in found
        if param.opts[0].startswith("-")
    }


def _trial(folder, marker, case):
    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    arguments = lines[trick](rng, marker)
    before = os.getcwd()
    home = folder / f"run-{seed}"
    home.mkdir()
    os.chdir(folder)
    os.environ["HOME"] = str(home)  # nothing of the user's is touched
    os.environ["DEEPFAKE_ENSEMBLE_STORE"] = str(home / "store")
    try:
        return _came(arguments)
    finally:
        os.chdir(before)


def _came(arguments):
    from ensemble.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    said = out.getvalue() + err.getvalue()
    shown = " ".join(map(repr, arguments))[:300]
    if code not in (0, 1, 2):
        return f"exit code {code}: {shown}: {said[-300:]}"
    for bad in ("Traceback", "internal error"):
        if bad in said:
            at = said.index(bad)
            return f"{bad}: {shown}: {said[at : at + 300]}"
    if code == 2 and not said.strip():
        return f"silence: {shown}"
    return f"right: exit code {code}"


def _something(rng):
    return rng.choice([rng.choice(FILES), rng.choice(FILES), rng.choice(ODD_TEXT)])


def _usual(command, rng):
    """Return arguments that a command takes, of files that are there or are not."""
    file = functools.partial(rng.choice, FILES)
    return {
        "fit": [file(), "--out", "out.dfe"],
        "predict": [file(), file()],
        "scan": [file(), "--model", file()],
        "stress": [file(), file()],
        "watch": [file(), "--model", file()],
        "compare": [file()],
        "combine": [file(), "--out", "rule.dfe"],
        "apply": [file(), file()],
        "index": [file(), "--out", "t.csv"],
        "explore": [file(), "--out", "p.html"],
        "prepare": [file(), "prepared"],
        "forge": [file(), "forged"],
        "batch": [file(), file(), "--out", "parts"],
        "assemble": [file(), "--out", "a.dfe"],
        "convert": [file(), "converted"],
        "export": [file(), "--onnx", "x.onnx"],
        "verify": [file()],
        "models": [],
    }[command]


@lines
def files_of_another_kind(rng, marker):
    """Each command with files that are there, and are something else."""
    command = rng.choice(COMMANDS)
    return [command, *_usual(command, rng)]


@lines
def options_of_odd_values(rng, marker):
    """An option with a value nobody means: borders, paths, markup, megabytes."""
    command = rng.choice(COMMANDS)
    options = _options(command)
    arguments = [command, *_usual(command, rng)]
    for name in rng.sample(sorted(options), min(len(options), rng.choice([1, 1, 2]))):
        arguments.append(name)
        if options[name]:
            arguments.append(rng.choice(ODD_TEXT))
    return arguments


@lines
def options_without_values(rng, marker):
    """Options that end the line, are there twice, or belong to other commands."""
    command, other = rng.choice(COMMANDS), rng.choice(COMMANDS)
    name = rng.choice(sorted(_options(other)) or ["--help"])
    return [
        command,
        *_usual(command, rng),
        name,
        *rng.choice([[], [name], ["x", name]]),
    ]


@lines
def odd_text_for_everything(rng, marker):
    """Arguments that are no files: markup, addresses, controls, surrogates."""
    command = rng.choice(COMMANDS)
    return [command, *(_something(rng) for _ in range(rng.randint(0, 4)))]


@lines
def outputs_onto_inputs(rng, marker):
    """Outputs that are the input, a folder, a file's child, or in no folder."""
    command = rng.choice([c for c in COMMANDS if "--out" in _options(c)])
    file = rng.choice(FILES)
    place = rng.choice(
        [file, "folder", "no/such/x", "", "-", "a" * 300, "\0", f"{file}/x"]
    )
    return [
        command,
        file,
        *([file] if command in ("apply", "batch") else []),
        "--out",
        place,
    ]


@lines
def words_of_the_shell(rng, marker):
    """What a shell would run, if one was asked."""
    payload = rng.choice(
        [
            f"$(touch {marker})",
            f"`touch {marker}`",
            f"; touch {marker}",
            f"| touch {marker}",
            f"x'; touch {marker} #",
            f"&& touch {marker}",
        ]
    )
    command = rng.choice(COMMANDS)
    return [command, payload, *rng.choice([[], [payload], ["--out", payload]])]


@lines
def no_such_command(rng, marker):
    """Commands that do not exist, none at all, or options before them."""
    return rng.choice(
        [
            [],
            [""],
            ["nothing"],
            ["--"],
            ["--nothing"],
            ["-h"],
            ["--help", "fit"],
            ["fit"],
            ["--version", "x"],
            ["--debug"],
            ["FIT"],
            ["\ud800"],
            ["a" * 9999],
            ["-" * 50],
            [rng.choice(COMMANDS)],
            [rng.choice(COMMANDS), "--help"],
        ]
    )


@lines
def scores_and_their_options(rng, marker):
    """A whole table of scores, and options that do not fit it."""
    command = rng.choice(["combine", "compare"])
    arguments = [
        command,
        "scores.csv",
        "--scores",
        rng.choice(["p_*", "label", "*", "x", ""]),
    ]
    for name in rng.sample(
        [
            "--label",
            "--group",
            "--index",
            "--encoding",
            "--pool",
            "--fake-label",
            "--invert",
            "--method",
        ],
        2,
    ):
        if name in _options(command):
            arguments += [name, rng.choice(["label", "p_one", "video", *ODD_TEXT])]
    return [*arguments, *(["--out", "r.dfe"] if command == "combine" else [])]
