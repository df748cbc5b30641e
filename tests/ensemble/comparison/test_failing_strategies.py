"""Comparisons that go on without a member or strategy that fails."""

import numpy as np
import pandas as pd
import pytest

from base_models import CallableDetector
from ensemble import FailedDetectorsError, compare_strategies
from ensemble.cli.tables import show_comparison
from ensemble.combiners import Voting

DRAW = np.random.default_rng(0)
Y = np.arange(40) % 2
SCORES = pd.DataFrame(
    {name: 1 / (1 + np.exp(DRAW.normal(1 - 2 * Y, 1.5))) for name in "ab"}
)
SAYS = "ignore:.* failed .*not judged", "ignore:.*left out, as if"


class Fragile(Voting):
    """A vote that cannot learn where the first video is among those to learn from."""

    def fit(self, scores, y, groups=None, **more):
        if 0 in np.asarray(scores)[:, 0] - SCORES["a"][0]:
            raise MemoryError("too many rows")
        return super().fit(scores, y, groups=groups, **more)


def _compared(strategies, **options):
    return compare_strategies(
        SCORES, Y, strategies=strategies, n_boot=20, n_folds=4, **options
    )


@pytest.mark.slow
def test_a_strategy_that_fails_is_a_row_of_nothing_and_the_others_are_as_without_it(
    tmp_path, capsys
):
    with pytest.raises(RuntimeError, match="'fragile' failed on 30 training videos"):
        _compared({"fragile": Fragile(), "vote": Voting("median")})
    with pytest.warns(UserWarning, match=r"fragile failed \(.*MemoryError: too many"):
        found = _compared(
            {"fragile": Fragile(), "vote": Voting("median")}, on_error="skip"
        )
    expected = _compared({"vote": Voting("median")})
    pd.testing.assert_frame_equal(
        found.table.drop(index="fragile", columns="failed"), expected.table
    )
    row = found.table.loc["fragile"]
    assert found.table.index[-1] == "fragile"
    assert row["kind"] == "strategy"
    assert "MemoryError" in row["failed"]
    assert np.isnan(row["auc"])
    assert found.winner() == expected.winner()
    assert found.verdict.startswith(expected.verdict)
    assert found.verdict.endswith(f"not among the {len(expected.table)} others.")
    assert found.how["failed"].keys() == {"fragile"}
    assert found.to_dict()["table"][-1]["auc"] is None
    found.to_html(tmp_path / "report.html")
    assert "fragile failed" in (tmp_path / "report.html").read_text("utf-8")
    show_comparison(found)
    assert "fragile failed" in capsys.readouterr().out


class FragileWhereSeen(Voting):
    """Fails where it has few videos to learn from, or many."""

    def fit(self, scores, y, groups=None, **more):
        if len(y) > 28:  # more than in any split without a method
            raise MemoryError("too many rows")
        return super().fit(scores, y, groups=groups, **more)


@pytest.mark.slow
@pytest.mark.filterwarnings(*SAYS)
def test_a_strategy_that_fails_only_where_it_saw_the_method_is_left_out_as_well():
    method = np.where(Y == 1, np.arange(40) // 2 % 3, -1).astype(str)
    options = {"metadata": pd.DataFrame({"method": method})}
    options["protocol"] = "leave-method-out"
    found = _compared({"late": FragileWhereSeen()}, on_error="skip", **options)
    expected = _compared("mean", **options)
    pd.testing.assert_frame_equal(
        found.table.drop(index="late", columns="failed"), expected.table
    )
    pd.testing.assert_frame_equal(found.seen, expected.seen)


def _brightness(videos):
    return [np.mean(video) / 255 for video in videos]


class Broken(CallableDetector):
    """Learns nothing from some videos, and ends."""

    def fit(self, videos, y, **more):
        if any(np.array_equal(video, VIDEOS[0]) for video in videos):
            raise FloatingPointError("the loss became nan")
        return super().fit(videos, y, **more)


VIDEOS = [
    (DRAW.integers(0, 160, (2, 4, 4, 3)) + 60 * fake).astype(np.uint8) for fake in Y
]


@pytest.mark.slow
@pytest.mark.filterwarnings(*SAYS)
def test_a_member_that_fails_is_compared_with_nobody():
    options = {"y": Y, "videos": VIDEOS, "groups": np.arange(40) // 2, "n_folds": 3}
    options |= {"strategies": ["median"], "n_boot": 10}
    good = {"bright": CallableDetector(_brightness)}
    found = compare_strategies(
        {"broken": Broken(_brightness), **good}, on_error="skip", **options
    )
    expected = compare_strategies(good, **options)
    pd.testing.assert_frame_equal(
        found.table.drop(index="broken", columns="failed"), expected.table
    )
    assert found.table.loc["broken", "kind"] == "member"
    assert "the loss became nan" in found.table.loc["broken", "failed"]
    with pytest.raises(FailedDetectorsError, match="no detector is left to compare"):
        compare_strategies({"broken": Broken(_brightness)}, on_error="skip", **options)
