"""Measure how long it takes until the library, and its command, can be used.

    python examples/benchmarks/imports.py --json results.json

Each import runs in a process of its own, the rivals in turn, and the medians are
compared: `import ensemble` with what it cannot do without (scikit-learn and pandas),
and `deepfake-ensemble --help` with that and the library of the command line.
"""

import argparse
import statistics
import subprocess
import sys
import time

from goals import Goal, machine, write

PROGRAMS = {
    "python alone": "pass",
    "scikit-learn and pandas": "import pandas, sklearn.base, sklearn.linear_model, "
    "sklearn.model_selection, sklearn.metrics",
    "import ensemble": "import ensemble",
    "ensemble with its names": "from ensemble import DeepfakeEnsemble, read_scores, "
    "out_of_fold_scores",
    "scikit-learn, pandas, typer and rich": "import pandas, sklearn.base, "
    "sklearn.linear_model, sklearn.model_selection, sklearn.metrics, typer, "
    "rich.console, rich.table",
    "deepfake-ensemble --help": "import sys; sys.argv = ['deepfake-ensemble', '--help']"
    "\nfrom ensemble.cli.app import main\nmain()",
}


def seconds(program):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(machine())
    for program in PROGRAMS.values():
        seconds(program)  # the disk's cache is warm for all
    taken = {name: [] for name in PROGRAMS}
    for _ in range(options.repeats):
        for name, program in PROGRAMS.items():
            taken[name].append(seconds(program))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{median:6.2f} s  {name}")
    library = medians["scikit-learn and pandas"]
    goals = [
        Goal.at_most(
            f"{name}: times scikit-learn and pandas", medians[name] / library, 1.3
        )
        for name in ("import ensemble", "ensemble with its names")
    ] + [
        Goal.at_most(
            "deepfake-ensemble --help: times scikit-learn, pandas, typer and rich",
            medians["deepfake-ensemble --help"]
            / medians["scikit-learn, pandas, typer and rich"],
            1.3,
        )
    ]
    write(goals, {"seconds": taken}, options.json)


if __name__ == "__main__":
    main()
