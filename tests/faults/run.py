"""Try hostile files, faults and kills at length, and print what came of them.

    python tests/faults/run.py                       all, for hours
    python tests/faults/run.py --only videos --share .01
    python tests/faults/run.py --seed 7 --json faults.json

The suite has a short form in `test_faults.py`. Ends with 1 where anything went wrong.
"""

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

# Kind -> (module:function, how many in full). Each function takes how many, a seed and
# an empty folder, and returns a Tally.
HARNESSES: dict[str, tuple[str, int]] = {
    "videos": ("odd_videos:videos", 10_000),
    "images": ("odd_images:images", 2_000),
    "models": ("hostile_models:models", 2000),
    "checkpoints-pth": ("hostile_checkpoints:checkpoints_pth", 2000),
    "checkpoints-safetensors": ("hostile_checkpoints:checkpoints_safetensors", 2000),
    "checkpoints-h5": ("hostile_checkpoints:checkpoints_h5", 2000),
    "checkpoints-onnx": ("hostile_checkpoints:checkpoints_onnx", 2000),
    "tables": ("hostile_tables:score_tables", 1000),
    "commands": ("hostile_commands:commands", 500),
    "server": ("hostile_server:server", 1000),
    "views": ("damaged_views:views", 500),
    "long_run": ("long_run:long_run", 10_000),
    "faults": ("faults:faults", 500),
    "kills": ("kills:kills", 100),
}


def harness(kind):
    """Return the function that tries one kind."""
    module, _, name = HARNESSES[kind][0].partition(":")
    return getattr(import_module(module), name)


def run(kind, n, seed):
    """Try one kind in a folder that is deleted after it."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        return harness(kind)(n, seed, Path(folder))


def line(cells):
    """Return a row of a table of Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def row(kind, tally, seconds):
    """Return the row of one kind."""
    wrong = ", ".join(f"{n} {what}" for what, n in tally.wrong.most_common()) or 0
    right = ", ".join(f"{n:,} {what}" for what, n in tally.right.most_common())
    return line(
        [kind, f"{tally.tried:,}", right or 0, wrong, f"{tally.seconds:.1f}",
         f"{tally.mib:,.0f}", f"{seconds:,.0f}"]
    )  # fmt: skip


def main(arguments=None):
    """Run what is asked for; return whether all of it was right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=sorted(HARNESSES), metavar="KIND")
    parser.add_argument("--share", type=float, default=1.0, help="of the full number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    print(line(["kind", "tried", "right", "wrong", "slowest, s", "most, MiB", "s"]))
    print(line(["---"] * 7), flush=True)
    tallies = {}
    for kind in options.only or HARNESSES:
        begin = time.perf_counter()
        n = max(1, round(options.share * HARNESSES[kind][1]))
        tally = tallies[kind] = run(kind, n, options.seed)
        print(row(kind, tally, time.perf_counter() - begin), flush=True)
    for kind, tally in tallies.items():
        for example in tally.examples:
            print(f"{kind}: {example}")
    if options.json:
        options.json.write_text(json.dumps({k: vars(t) for k, t in tallies.items()}))
    return not any(tally.wrong for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
