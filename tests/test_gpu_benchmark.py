"""The benchmark of a GPU runs where there is none, on tiny networks."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.mark.slow
def test_a_miniature_measures_and_compares_every_part(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gpu, out = importlib.import_module("gpu"), tmp_path / "out.json"
    words = f"gpu.py --device cpu --small --videos 8 --rounds 1 --json {out}"
    monkeypatch.setattr(sys, "argv", words.split())
    gpu.main()
    found = json.loads(out.read_text())
    scoring, fitting = (found["raw"][f"{part}, tiny"] for part in gpu.PARTS)
    assert all(s > 0 for name in scoring if name != "MiB" for s in scoring[name])
    assert all(fitting[way] > 0 for way in ("ours", "one thread", "plain"))
    goals = {goal["goal"]: goal for goal in found["goals"]}
    for of in ("P(fake) apart from a second run", "P(fake) apart from the CPU"):
        assert goals[f"tiny networks: {of}"]["value"] == 0
    assert goals["tiny: weights that differ when fitted anew"]["value"] == 0
    times = goals["tiny: times a plain step"]["value"]
    ours = min(fitting["ours"], fitting["ours again"])
    assert times == pytest.approx(ours / fitting["plain"])
