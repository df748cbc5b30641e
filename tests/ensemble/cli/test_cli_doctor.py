"""`doctor` says what is here and what is in trouble; it writes nothing but a test."""

import json
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from base_models import Store
from base_models.store.store import store_key
from ensemble.cli.app import main
from ensemble.cli.commands.running import doctor, machine_checks, self_test


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_MODELS", str(tmp_path / "models"))
    return Store()


def found(part):
    return {c.name: c for c in machine_checks.machine_checks() if c.part == part}


def test_what_is_installed_is_found(store):
    checks = list(machine_checks.machine_checks())
    by_name = {(check.part, check.name): check for check in checks}
    assert [check for check in checks if check.state == "trouble"] == []
    assert by_name["engines", "torch"].found == metadata.version("torch")
    assert by_name["packages", "needed"].state == "ok"
    assert by_name["extras", "report"].state == "ok"
    assert by_name["models", str(store.path.parent / "models")].state == "absent"
    assert {check.part for check in checks} == set(machine_checks._PARTS)
    assert store.keys("features") == []


def test_packages_that_do_not_fit_are_named(monkeypatch):
    needs = ["numpy>=99", "no-such-thing>=1", 'no-page>=2; extra == "report"']
    monkeypatch.setattr(metadata, "requires", lambda name: needs)
    packages, extras = found("packages"), found("extras")
    assert packages["numpy>=99"].state == "trouble"
    assert packages["numpy>=99"].found.endswith("is installed, >=99 is needed")
    assert packages["no-such-thing>=1"].found == "not installed"
    assert extras["report"].state == "absent"
    assert extras["report"].advice == "pip install 'deepfake-ensemble[report]'"


def test_a_damaged_store_and_one_that_cannot_be_written(store, monkeypatch, tmp_path):
    for number in range(3):
        store.put("features", store_key(n=number), {"a": np.zeros(20_000)})
    (file,) = (store.path / "features").glob(f"*/{store_key(n=1)}.safetensors")
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    checks = found("store")
    assert checks[str(store.path)].found.startswith("3 entries")
    assert checks["damaged"].found.startswith("1 of 3 entries")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_STORE", str(tmp_path / "file"))
    assert found("store")["writing"].state == "trouble"


def test_a_step_that_fails_ends_the_self_test(monkeypatch):
    monkeypatch.setattr(self_test, "_MOST_LOST", 0.0)
    *good, last = self_test.self_test()
    assert [check.name for check in good] == ["writing"]
    assert (last.name, last.state) == ("reading", "trouble")
    assert "grey levels" in last.found


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("trouble", 1)])
def test_the_exit_code_says_whether_all_works(monkeypatch, capsys, state, code):
    check = machine_checks.MachineCheck("system", "thing", state, "here", "do that")
    monkeypatch.setattr(machine_checks, "machine_checks", lambda: iter([check]))
    monkeypatch.setattr(self_test, "self_test", lambda: iter(()))
    with pytest.raises(SystemExit) as left:
        main(["doctor"])
    assert left.value.code == code
    out = capsys.readouterr().out
    assert "thing               here\n" in out
    assert "-> do that" in out
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--json"])
    assert left.value.code == code
    assert json.loads(capsys.readouterr().out)["checks"][0]["name"] == "thing"


@pytest.mark.slow
def test_all_of_it_works_here(store):
    ran = subprocess.run(
        [sys.executable, "-c", "from ensemble.cli.start import main; main()",
         "doctor", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    checks = json.loads(ran.stdout)["checks"]
    assert ran.returncode == 0, ran.stdout
    steps = [check["name"] for check in checks if check["part"] == "self-test"]
    assert steps[:4] == ["writing", "reading", "reading apart", "faces"]
    assert steps[-1] == "combining"


def test_its_examples_name_it():
    assert "deepfake-ensemble doctor" in doctor.EXAMPLES
