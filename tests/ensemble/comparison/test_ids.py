"""Labels, groups and metadata with ids are those of the videos of these ids."""

import numpy as np
import pandas as pd
import pytest
from made_scores import some_scores

from base_models import CallableDetector
from ensemble import compare_strategies


def with_ids(n=60):
    """Scores, and in their order labels, groups and metadata, all by id."""
    scores, y, groups, metadata = some_scores(n)
    ids = [f"v{row}" for row in range(n)]
    beside = (pd.Series(y), pd.Series(groups), metadata)
    return (scores.set_axis(ids), *(known.set_axis(ids) for known in beside))


def compared(scores, y, groups, metadata, **more):
    return compare_strategies(
        scores, y, groups, "mean", metadata, n_folds=3, n_boot=20, **more
    )


@pytest.fixture(scope="module")
def expected():
    scores, y, groups, metadata = with_ids()
    return compared(scores, y.tolist(), groups.tolist(), metadata.to_dict("list"))


@pytest.mark.slow
@pytest.mark.parametrize("mixed", ["y", "groups", "metadata"])
def test_another_order_changes_nothing(expected, mixed):
    names = ("scores", "y", "groups", "metadata")
    given = dict(zip(names, with_ids(), strict=True))
    order = np.random.default_rng(0).permutation(60)
    given[mixed] = given[mixed].iloc[order]
    found = compared(**given)
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.by_value, expected.by_value)
    pd.testing.assert_frame_equal(
        found.error_rates("method"), expected.error_rates("method")
    )


@pytest.mark.slow
def test_an_index_that_counts_rows_means_the_same_order(expected):
    scores, y, groups, metadata = with_ids()
    beside = (known.reset_index(drop=True) for known in (y, groups, metadata))
    found = compared(scores, *beside)
    pd.testing.assert_frame_equal(found.by_value, expected.by_value)


@pytest.mark.parametrize("wrong", ["y", "groups", "metadata"])
def test_ids_of_other_videos_are_refused_by_name(wrong):
    names = ("scores", "y", "groups", "metadata")
    given = dict(zip(names, with_ids(), strict=True))
    given[wrong] = given[wrong].rename({"v7": "other"})
    with pytest.raises(ValueError, match=f"^{wrong} must .*'v7', but of 'other'"):
        compared(**given)


def test_videos_with_ids_are_ordered_by_them_too():
    n = 24
    ids = [f"v{row}" for row in range(n)]
    y = pd.Series(np.arange(n) % 2, ids)
    videos = pd.Series([np.full((1, 8, 8, 3), 9 + 9 * row) for row in range(n)], ids)
    videos = videos.map(lambda video: video.astype(np.uint8))
    detector = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    metadata = pd.DataFrame({"method": ["none", "swap"] * 12}, ids)
    found = compare_strategies(
        [("bright", detector)], y[::-1], pd.Series(ids, ids)[::-1], "mean",
        metadata.iloc[::-1], videos=videos, n_folds=2, n_boot=5,
    )  # fmt: skip
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(found.metadata["method"], metadata["method"])
