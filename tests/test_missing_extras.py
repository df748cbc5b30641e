"""Where CI is set, what `dev` installs may not be missing without a word."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SKIPS = """
import pytest

def test_needs():
    pytest.importorskip("{}")
"""


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("module", "ci", "expected"),
    [
        ("no_such_module", "1", "failed"),
        ("no_such_module", "", "skipped"),
        ("openvino.no_such_part", "1", "skipped"),  # is not in dev
    ],
)
def test_a_skip_for_want_of_a_package_fails(
    tmp_path, monkeypatch, module, ci, expected
):
    (tmp_path / "test_needs.py").write_text(SKIPS.format(module))
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "--rootdir=."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert f"1 {expected}" in run.stdout, run.stdout + run.stderr
