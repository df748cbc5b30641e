"""The benchmark of cascades: it runs, and its figures are right."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.mark.slow
def test_it_runs_on_a_table_and_on_rows_never_learned_from(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(BENCHMARKS)
    cascade = importlib.import_module("cascade")
    draw = np.random.default_rng(0)
    label = np.arange(160) % 2
    odds = (2 * label - 1)[:, None] * [3.0, 2.0, 1.0] + draw.normal(size=(160, 3))
    table = pd.DataFrame(1 / (1 + np.exp(-odds)), columns=["p_a", "p_b", "p_c"])
    table["label"], table["part"] = label, np.where(np.arange(160) < 120, "dev", "new")
    table.to_csv(tmp_path / "scores.csv", index=False)
    words = ["cascade.py", str(tmp_path / "scores.csv"), "--learn-from", "part=dev"]
    words += ["--combiners", "soft", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    cascade.main()
    found = pd.DataFrame(
        json.loads((tmp_path / "out.json").read_text())["raw"]["figures"]
    )
    assert set(found["of"]) == {"held-out groups", "not part=dev"}
    assert set(found.loc[found["of"] == "not part=dev", "n_videos"]) == {40}
    exact = found[found["cascade"] == "exact"]
    assert (exact["n_differ"] == 0).all()
    assert (exact["members_asked"] < 3).all()
    few = found[found["cascade"] == "0.005"]  # 96 groups certify no such rate
    assert (few["members_asked"] == 3).all()
    assert (few["auc"] == few["auc_of_all"]).all()


@pytest.mark.slow
def test_the_simulation_counts_certificates_that_are_broken(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(BENCHMARKS)
    certificates = importlib.import_module("certificates")
    words = ["certificates.py", "--repeats", "2", "--populations", "usual"]
    words += ["--combiners", "soft", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    certificates.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["raw"]["figures"]) == 4
    assert [goal["target"] for goal in found["goals"]] == [1, 1]
    assert "broken" in capsys.readouterr().out
