"""Copies, and videos that look alike, across groups, classes and splits."""

import cv2
import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from ensemble.datasets import VideoTable, find_duplicates, index_videos
from ensemble.datasets.indexing import perceptual_hash as of_looks
from ensemble.datasets.indexing.perceptual_hash import near_pairs, perceptual_hash


def scene(seed, n_frames=8, size=(96, 128)):
    """Smooth shapes that drift."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (6, 8, 3), np.uint8)
    big = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.stack([np.roll(big, 2 * shift, axis=1) for shift in range(n_frames)])


def table_of(folder, rows):
    """A table of clips: (name, frames, crf, label, group, split)."""
    for name, frames, crf, *_ in rows:
        write_video(folder / f"{name}.mp4", frames, crf=crf)
    frame = pd.DataFrame(
        {
            "path": [str(folder / f"{row[0]}.mp4") for row in rows],
            "video_id": [row[0] for row in rows],
            "label": [row[3] for row in rows],
            "group": [row[4] for row in rows],
            "split": [row[5] for row in rows],
        }
    )
    return index_videos(VideoTable(frame), finder=None, store=folder / "store")


def test_copies_and_looks_across_splits_groups_and_classes(tmp_path):
    first, second, third = scene(1), scene(2), scene(3)
    half = np.stack([cv2.resize(frame, (64, 48)) for frame in second])
    rows = [
        ("a", first, 18, 0, "ann", "train"),
        ("a_again", first, 18, 0, "ann", "test"),  # the same bytes
        ("b", second, 18, 0, "bob", "train"),
        ("b_small", half, 40, 0, "eve", "train"),  # smaller and worse, another group
        ("c", third, 18, 0, "cid", "train"),
        ("c_fake", third, 35, 1, "cid", "train"),  # of one group: as fakes are made
        ("d", scene(4), 18, 0, "dan", "train"),
    ]
    found = find_duplicates(table_of(tmp_path, rows))
    said = found[["first", "second", "what", "differ_in", "is_leak"]]
    assert said.to_numpy().tolist() == [
        ["a", "a_again", "same content", "split train and test", True],
        ["b", "b_small", "looks alike", "group bob and eve", True],
    ]


def test_without_groups_what_looks_alike_is_a_leak(tmp_path):
    rows = [
        ("a", scene(1), 18, 0, None, None),
        ("a_worse", scene(1), 35, 0, None, None),
        ("b", scene(2), 18, 0, None, None),
    ]
    found = find_duplicates(table_of(tmp_path, rows))
    assert found[["first", "second", "differ_in"]].to_numpy().tolist() == [
        ["a", "a_worse", "group not known"]
    ]


def test_dark_and_flat_clips_are_not_taken_for_copies(tmp_path):
    draw = np.random.default_rng(0)
    noise = [draw.integers(0, 6, (4, 48, 64, 3)).astype(np.uint8) for _ in range(4)]
    rows = [(f"dark{i}", noise[i], 18, 0, f"g{i}", "train") for i in range(4)]
    table = table_of(tmp_path, rows)
    assert table.table["phash"].isna().all()
    assert find_duplicates(table).empty


def test_copies_of_one_group_and_label_are_listed_and_no_leak(tmp_path):
    rows = [(name, scene(1), 18, 0, "ann", "train") for name in "ab"]
    found = find_duplicates(table_of(tmp_path, rows))
    assert found[["what", "differ_in", "is_leak"]].to_numpy().tolist() == [
        ["same content", "", False]
    ]


def random_hashes(n, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (n, 32), np.uint8)


def with_flipped(row, n_bits, draw):
    bits = np.unpackbits(row)
    bits[draw.choice(256, n_bits, replace=False)] ^= 1
    return np.packbits(bits)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("n_bits", [0, 1, 8, 16])
def test_near_hashes_are_found_among_many(n_bits):
    draw = np.random.default_rng(1)
    many = random_hashes(3000)
    copies = np.stack([with_flipped(row, n_bits, draw) for row in many[:100]])
    hashes = [row.tobytes().hex() for row in np.concatenate([many, copies])]
    pairs, distances = near_pairs(hashes)
    assert pairs.tolist() == [[row, 3000 + row] for row in range(100)]
    assert set(distances) == {n_bits}


def test_of_many_alike_each_is_found_with_some():
    hashes = ["ab" * 32] * 200 + ["cd" * 32]
    pairs, distances = near_pairs(hashes)
    assert set(pairs.ravel().tolist()) == set(range(200))
    assert not distances.any()


@pytest.mark.parametrize("hashes", [[], ["00" * 32]])
def test_none_and_one_have_no_pair(hashes):
    assert near_pairs(hashes)[0].shape == (0, 2)


class Counted:
    """A table of bits that are set, which counts the hashes that are compared."""

    def __init__(self, table):
        self.table, self.n_compared = table, 0

    def __getitem__(self, at):
        self.n_compared += len(at)
        return self.table[at]


@pytest.mark.slow
def test_the_search_is_linear(monkeypatch):
    compared = []
    for n in (1000, 4000):
        hashes = [row.tobytes().hex() for row in random_hashes(n)]
        counted = Counted(of_looks._ONES)
        with monkeypatch.context() as patched:
            patched.setattr(of_looks, "_ONES", counted)
            near_pairs(hashes)
        compared.append(counted.n_compared)
    assert compared[0] < 1000 * 16 * 32  # of each turn with the 32 that follow
    assert compared[1] < 4.1 * compared[0]  # 16 were it by pairs


def test_a_hash_is_that_of_phash_by_its_definition():
    frame = scene(5)[0]
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey.astype(float), (32, 32), interpolation=cv2.INTER_AREA)
    # DCT-II by its formula
    k, x = np.mgrid[:8, :32]
    basis = np.cos(np.pi * (2 * x + 1) * k / 64)
    basis[0] /= np.sqrt(2)
    low = basis @ small @ basis.T
    bits = (low > np.median(low.ravel()[1:])).ravel()
    expected = np.packbits(np.tile(bits, 4)).tobytes().hex()
    assert perceptual_hash([frame]) == expected


def test_a_table_without_hashes_is_refused():
    table = VideoTable(pd.DataFrame({"path": ["a.mp4"], "label": [0]}))
    with pytest.raises(ValueError, match="no digest and phash; give one from index_v"):
        find_duplicates(table)
