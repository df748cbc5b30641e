"""Rows that combiners learn from: merged, sampled, split by group."""

import numpy as np
from family import make_scores

from ensemble.combiners.parts.rows import Rows, inner_splits, merge_rows, sample_rows


def test_equal_rows_are_merged_into_one_of_their_summed_weight():
    scores = np.array([[0.1, np.nan], [0.3, 0.0], [0.1, np.nan], [0.3, -0.0]])
    rows = Rows(scores, np.array([0, 1, 0, 1]), None, np.array([0.1, 1, 0.2, 2]))
    merged = merge_rows(rows)
    by_label = np.argsort(merged.is_fake)
    np.testing.assert_array_equal(merged.scores[by_label], [[0.1, np.nan], [0.3, 0.0]])
    np.testing.assert_allclose(merged.weight[by_label], [0.3, 3])
    apart = Rows(scores, rows.is_fake, np.array([0, 1, 2, 3]), rows.weight)
    assert len(merge_rows(apart)) == 4


def test_a_sample_keeps_each_class_and_its_weight():
    draw = np.random.default_rng(0)
    scores = draw.random((1000, 3)).round(2)
    is_fake = (np.arange(1000) < 100).astype(int)
    rows = Rows(scores, is_fake, None, np.ones(1000))
    sample = sample_rows(rows, 50)
    for label, total in ((0, 900), (1, 100)):
        assert (sample.is_fake == label).sum() == 50
        assert np.isclose(sample.weight[sample.is_fake == label].sum(), total)


def test_inner_folds_keep_groups_whole_and_are_as_many_as_possible():
    scores, y, groups = make_scores(30)
    rows = Rows(scores, y, groups, np.ones(30))
    splits = inner_splits(rows, 5, 0)
    assert len(splits) == 5
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert set(y[train]) == {0, 1}
    assert len(inner_splits(rows[:15], 5, 0)) == 2  # groups 0 to 4: 3 real, 2 fake
    assert inner_splits(rows[:6], 5, 0) == []
