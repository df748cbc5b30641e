"""Rows by id: what is said of videos comes into their order, or is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble.scores.row_order import in_row_order

IDS = ["v0", "v1", "v2"]
SCORES = pd.DataFrame({"a": [0.0, 0.1, 0.2]}, IDS)


def test_entries_follow_their_ids():
    mixed = pd.DataFrame({"method": ["two", "none", "one"]}, ["v2", "v0", "v1"])
    ordered = in_row_order(mixed, SCORES, "metadata")
    assert ordered["method"].tolist() == ["none", "one", "two"]
    numbered = SCORES.set_axis([7, 5, 9])
    assert in_row_order(pd.Series([5, 7, 9], [5, 7, 9]), numbered, "y").tolist() == [
        7, 5, 9,
    ]  # fmt: skip
    paths = [Path("b.mp4"), "a.mp4"]
    labels = pd.Series([0, 1], ["a.mp4", "b.mp4"])
    assert in_row_order(labels, paths, "labels").tolist() == [1, 0]
    assert in_row_order(labels, pd.Series(5, paths), "y").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ([2, 1, 0], SCORES),
        (pd.Series([2, 1, 0]), SCORES),  # counts its rows
        (pd.Series([2, 1, 0], [40, 8, 3]), SCORES),  # rows of a longer table
        (pd.Series([2, 1, 0], IDS[::-1]), SCORES.reset_index(drop=True)),
        (pd.Series([2, 1, 0], IDS), SCORES),
        (pd.Series([2, 1, 0], ["a", "a", "b"]), SCORES.set_axis(["a", "a", "b"])),
        (pd.Series([2, 1, 0], IDS), ["a.mp4", "b.mp4", "c.mp4"]),
        (pd.Series([2, 1, 0], IDS), np.zeros((3, 2))),
        (pd.Series([2, 1, 0], IDS), [np.zeros((1, 4, 4, 3), np.uint8)] * 3),
    ],
)
def test_without_ids_on_both_sides_the_order_stays(values, rows):
    assert list(in_row_order(values, rows, "y")) == [2, 1, 0]


@pytest.mark.parametrize(
    ("index", "rows", "said"),
    [
        (["v0", "v1", "v9"], SCORES, "1 of 3, such as 'v2', but of 'v9'"),
        (["x", "y", "z"], SCORES, "3 of 3, such as 'v0', but of 'x'"),
        (["v0", "v1", "v9"], IDS, "1 of 3, such as 'v2', but of 'v9'"),
        (["v0", "v0", "v1"], SCORES.set_axis(["v0", "v1", "v1"]), "'v1' is there"),
    ],
)
def test_other_ids_are_refused_by_name(index, rows, said):
    with pytest.raises(ValueError, match=f"^metadata .*{said}.*reset_index"):
        in_row_order(pd.DataFrame({"m": [0, 1, 2]}, index), rows, "metadata")
