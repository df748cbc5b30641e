"""Damaged files of a store: whatever happens to them, no score is another.

A detector is fitted and scores by a store; then a file of the store is damaged, and in
another process of the same store the same is asked again. Right is the same score bit
for bit, or an error of ours.
"""

import functools
import random
import shutil
import sqlite3

import numpy as np
from hostile import DAMAGE, Tricks
from trials import each_in_process

ways = Tricks()  # of (files, rng): damage that is no damage of bytes alone


def views(n, seed, folder):
    """Try damaged files of a store."""
    _scores(folder / "store")
    return each_in_process(
        functools.partial(_trial, folder, _scores(folder / "store").tobytes()),
        Tricks({**DAMAGE, **ways}).cases(n, seed),
        seconds=60,
        mib=500,
        warm=functools.partial(_scores, folder / "store"),
    )


def _videos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (8, 64, 80, 3), np.uint8) for _ in range(4)]


def _scores(store):
    """Return the scores of members that keep views, features and themselves."""
    import warnings

    from base_models import FlickerDetector, FrequencyDetector, score_videos

    warnings.simplefilter("ignore")
    videos, found = _videos(), []
    settings = {"view": "frame", "image_size": 64, "n_frames": 4, "random_state": 0}
    members = [
        cls(**settings, store=store, verbose=False).fit(videos, [0, 1, 0, 1])
        for cls in (FrequencyDetector, FlickerDetector)
    ]
    for member in members:
        found.append(member.predict_proba(videos)[:, 1])
    found.append(score_videos(members, videos, store=store)[0].reshape(-1))
    return np.concatenate(found)


def _trial(folder, known, case):
    import warnings

    from base_models.runtime.caches import clear_caches

    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    store = folder / f"store-{seed}"
    shutil.copytree(folder / "store", store)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    if trick in DAMAGE:
        file = rng.choice([path for path in files if path.stat().st_size])
        file.write_bytes(DAMAGE[trick](file.read_bytes(), rng))
    else:
        ways[trick](files, rng)
    clear_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            now = _scores(store)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    return (
        "right: the same scores" if now.tobytes() == known else "other answer: scores"
    )


@ways
def entries_change_places(files, rng):
    """Two entries, each whole, are in each other's place."""
    entries = [path for path in files if path.suffix == ".safetensors"]
    one, other = rng.sample(entries, 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@ways
def rows_change_places(files, rng):
    """Two rows of the file of small entries, each whole, are in each other's place."""
    (file,) = [path for path in files if path.name == "small.sqlite"]
    with sqlite3.connect(file) as database:
        rows = database.execute("select kind, key, content from entries").fetchall()
        one, other = rng.sample(rows, 2)
        text = "update entries set content = ? where kind = ? and key = ?"
        database.execute(text, (other[2], *one[:2]))
        database.execute(text, (one[2], *other[:2]))


@ways
def row_damaged(files, rng):
    """A bit of a small entry is another, and the database is whole."""
    (file,) = [path for path in files if path.name == "small.sqlite"]
    with sqlite3.connect(file) as database:
        rows = database.execute("select kind, key, content from entries").fetchall()
        kind, key, content = rng.choice(rows)
        content = DAMAGE[rng.choice(sorted(DAMAGE))](content, rng)
        text = "update entries set content = ? where kind = ? and key = ?"
        database.execute(text, (content, kind, key))


@ways
def bit_of_a_view(files, rng):
    """A bit of the images of a view is another: what nothing but a checksum sees."""
    file = rng.choice([path for path in files if "view" in path.parts])
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content) // 2, len(content) - 8)] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


@ways
def file_gone(files, rng):
    """A file is deleted, or a folder is in its place."""
    file = rng.choice(files)
    file.unlink()
    if rng.random() < 0.5:
        file.mkdir()


@ways
def file_replaced_by_a_link(files, rng):
    """A link to nothing, or to another entry, in the place of an entry."""
    entries = [path for path in files if path.suffix == ".safetensors"]
    file, other = rng.sample(entries, 2)
    file.unlink()
    file.symlink_to(rng.choice([other, file.with_name("nothing")]))


@ways
def file_that_cannot_be_read(files, rng):
    """A file without any rights, and one of another program."""
    file = rng.choice(files)
    if rng.random() < 0.5:
        file.chmod(0)
    else:
        file.write_bytes(b"SQLite format 3\0" + bytes(84) + b"of another program")
