import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_runs_as_written(script, tmp_path):
    pytest.importorskip("skimage")
    run = subprocess.run(
        [sys.executable, EXAMPLES / script, "--identities", "24"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert "home-made swaps" in run.stdout or "verdict" in run.stdout
    assert not list(tmp_path.iterdir())  # leaves nothing behind
