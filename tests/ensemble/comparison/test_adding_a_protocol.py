"""What CONTRIBUTING says of adding a protocol is followed step by step."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ensemble import compare_strategies
from ensemble.comparison import protocols
from ensemble.comparison.protocols import PROTOCOLS


@pytest.fixture
def odd_from_even(walk_through):
    """List a protocol, as a function in protocols.py does when it is imported."""
    exec(walk_through("def odd_from_even"), {**vars(protocols)})
    yield "odd-from-even"
    del PROTOCOLS["odd-from-even"]


def compared(protocol):
    y = np.arange(80) % 2
    noise = np.random.default_rng(0).normal(1 - 2 * y, 1.5, (2, 80))
    scores = pd.DataFrame(1 / (1 + np.exp(noise.T)), columns=["a", "b"])
    return compare_strategies(
        scores, y, np.arange(80) // 4, "mean", protocol=protocol, n_boot=20
    )


def test_a_protocol_is_one_function_under_its_name_and_label(odd_from_even):
    comparison = compared(odd_from_even)
    expected = [row for row in range(80) if row // 4 % 2 == 1]
    assert comparison.panels[0].rows.tolist() == expected
    assert comparison.how["protocol"] == odd_from_even
    assert comparison.protocol_label.startswith("Odd from even: tested on")


def test_an_error_lists_the_protocols(odd_from_even):
    with pytest.raises(ValueError, match="'time-holdout', 'odd-from-even'"):
        compared("even-from-odd")


def test_names_are_read_without_numpy():
    code = (
        "import sys; from ensemble.comparison.protocols import PROTOCOLS; "
        "assert 'group-kfold' in PROTOCOLS; print('numpy._core' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr
