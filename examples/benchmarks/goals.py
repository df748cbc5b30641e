"""What benchmarks have in common: goals with their figures, as a table and as JSON."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass
class Goal:
    """One figure beside what it should be.

    Parameters
    ----------
    goal : str
        What is measured, in words.
    value, target : float
    met : bool
    """

    goal: str
    value: float
    target: float
    met: bool

    @classmethod
    def at_least(cls, goal, value, target):
        """A figure that should not be lower."""
        return cls(goal, float(value), target, bool(value >= target))

    @classmethod
    def at_most(cls, goal, value, target):
        """A figure that should not be higher."""
        return cls(goal, float(value), target, bool(value <= target))


def write(goals, raw, json_path=None):
    """Print the goals as a table; write them and the raw figures as JSON.

    Parameters
    ----------
    goals : list of Goal
    raw : dict
        Raw figures, ready for JSON; the machine is added.
    json_path : str, Path or None, default=None
        None writes no file. Else ``{"goals": [...], "raw": {...}}``, each goal a
        dict of goal, value, target, met.
    """
    table = Table("", "goal", "value", "target")
    for one in goals:
        table.add_row(
            "[green]met[/]" if one.met else "[red]not met[/]",
            one.goal,
            f"{one.value:.3g}",
            f"{one.target:.3g}",
        )
    Console().print(table)
    if json_path is not None:
        content = {
            "goals": [asdict(one) for one in goals],
            "raw": {"machine": machine(), **raw},
        }
        Path(json_path).write_text(json.dumps(content, indent=1))


def machine():
    """Say what this runs on."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            named = [line for line in lines if line.startswith("model name")]
        model = named[0].split(":")[1].strip() if named else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
