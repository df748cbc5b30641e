"""The short form of `run.py`: every kind of hostile input and fault, a few times."""

import os
from pathlib import Path

import pytest
from run import HARNESSES, run
from trials import each_in_process

# Of a kind, where 10 are too many, or too few.
FEW = {"long_run": 30, "server": 40, "faults": 9, "kills": 1, "videos": 5, "images": 5}
SLOW = {"long_run", "kills"}  # kinds that start processes, for the slow tests
SLOW |= {"commands", "views", "tables", "models", "server"}
SLOW |= {f"checkpoints-{kind}" for kind in ("pth", "safetensors", "h5", "onnx")}
KINDS = [
    pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else [])
    for kind in HARNESSES
]


def _misbehave(case):
    if case == "hangs":
        while True:
            pass
    if case == "dies":
        os._exit(3)
    if case == "takes 300 MiB":
        return f"right: {len(bytes(range(256)) * (300 * 2**12))}"
    if case.startswith("makes "):
        Path(case.removeprefix("makes ")).touch()
    return "right" if case != "raises" else [][1]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_goes_wrong(kind):
    tally = run(kind, FEW.get(kind, 10), seed=0)
    assert tally.tried
    assert not tally.wrong, tally.examples


def test_each_way_to_go_wrong_is_seen(tmp_path):
    marker = tmp_path / "executed"
    cases = [
        "fine",
        "raises",
        "hangs",
        "dies",
        "takes 300 MiB",
        f"makes {marker}",
        "fine",
    ]
    tally = each_in_process(_misbehave, cases, seconds=2, mib=200, marker=marker)
    assert tally.tried == 7
    assert tally.right == {"answered": 2}
    assert tally.wrong == {
        "IndexError": 1, "hang": 1, "died": 1, "memory": 1, "executed": 1
    }  # fmt: skip
    assert len(tally.examples) == 5
