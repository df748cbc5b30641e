import multiprocessing

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from base_models.store import Store, fingerprint, resolve_store, store_key
from base_models.store.folder import MARKER
from base_models.store.sqlite_blobs import SmallEntries

KEY = store_key(of="a test")
LARGE = {"x": np.arange(20_000.0)}  # too large for a row


def _files(store):
    """The names of the files of a store, except the one that marks it."""
    files = (p.name for p in store.path.rglob("*") if p.is_file())
    return sorted(name for name in files if name != MARKER)


def test_gives_back_what_was_put(tmp_path):
    store = Store(tmp_path)
    arrays = {
        "images": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "none": np.zeros(0),
    }
    store.put("view", KEY, arrays, {"reason": "no face", "n": 3})
    found, meta = Store(tmp_path).get("view", KEY)
    assert meta == {"reason": "no face", "n": 3}
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_kinds_and_keys_are_kept_apart(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, {"x": np.ones(1)})
    assert store.get("features", KEY) is None
    assert store.get("view", store_key(of="another")) is None


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_damaged_entry_is_no_entry(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    (file,) = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    for length in (0, 5, 50, len(whole) - 1):
        for mapped in (False, True):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(whole[:length])
            assert store.get("view", KEY, mapped) is None
            assert _files(store) == []


def test_leaves_no_temporary_files(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    assert _files(store) == [f"{KEY}.safetensors"]


def test_a_mapped_entry_is_read_only_and_outlives_its_file(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE, {"reason": ""})
    arrays, meta = store.get("view", KEY, mapped=True)
    store.delete("view", KEY)
    np.testing.assert_array_equal(arrays["x"], LARGE["x"])
    assert meta == {"reason": ""}
    with pytest.raises(ValueError, match="read-only"):
        arrays["x"][0] = 1


def test_small_entries_share_one_file(tmp_path):
    store = Store(tmp_path)
    keys = sorted(store_key(number=number) for number in range(50))
    for number, key in enumerate(keys):
        store.put("features", key, {"x": np.full(100, number)})
    assert {name.split("-")[0] for name in _files(store)} == {"small.sqlite"}
    assert store.keys("features") == keys
    assert store.keys("view") == []
    for number, key in enumerate(keys):
        arrays, _ = Store(tmp_path).get("features", key)
        assert (arrays["x"] == number).all()
        arrays["x"][0] = 7  # a copy: the store keeps its own
    store.delete("features", keys[3])
    assert store.get("features", keys[3]) is None
    assert len(store.keys("features")) == 49


def test_an_entry_that_grows_or_shrinks_is_there_once(tmp_path):
    store = Store(tmp_path)
    small = {"x": np.ones(3)}
    for arrays in (small, LARGE, small, LARGE):
        store.put("view", KEY, arrays)
        np.testing.assert_array_equal(store.get("view", KEY)[0]["x"], arrays["x"])
        assert store.keys("view") == [KEY]
        assert len(list(tmp_path.rglob("*.safetensors"))) == (arrays is LARGE)


@pytest.mark.filterwarnings("ignore:.*small.sqlite is damaged")
def test_a_damaged_file_of_small_entries_is_made_anew(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, {"x": np.ones(1)})
    for file in tmp_path.glob("small.sqlite*"):
        file.unlink()
    (tmp_path / "small.sqlite").write_bytes(b"no database" * 1000)
    assert store.get("view", KEY) is None
    store.put("view", KEY, {"x": np.ones(1)})
    assert store.get("view", KEY) is not None


def test_small_entries_used_longest_ago_go_first(tmp_path, monkeypatch):
    clock = 0.0
    monkeypatch.setattr("base_models.store.sqlite_blobs.time.time", lambda: clock)
    store = Store(tmp_path, size_limit=100_000)
    keys = [store_key(number=number) for number in range(15)]
    for key in keys:
        clock += 60
        store.put("view", key, {"x": np.zeros(10_000, np.uint8)})
        store.get("view", keys[0])  # in use all the time
    kept = store.keys("view")
    assert keys[0] in kept
    assert keys[1] not in kept
    assert keys[-1] in kept
    assert len(kept) <= 10


def test_the_folder_may_be_deleted_at_any_time(tmp_path):
    store = Store(tmp_path / "store")
    store.put("view", KEY, {"x": np.ones(1)})
    (tmp_path / "store").rename(tmp_path / "gone")
    assert store.get("view", KEY) is None
    store.put("view", KEY, {"x": np.ones(1)})
    assert store.get("view", KEY) is not None


def test_a_place_that_cannot_be_written_costs_the_entry_only(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file")
    with pytest.warns(UserWarning, match="computes again.*another store") as caught:
        [store.put("view", KEY, {"x": np.ones(1)}) for _ in range(2)]
    assert len(caught) == 1
    assert store.get("view", KEY) is None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    store = Store(tmp_path, size_limit=1_000_000)
    keys = [store_key(number=number) for number in range(15)]
    for key in keys:
        store.put("view", key, {"x": np.zeros(100_000, np.uint8)})
        store.get("view", keys[0])  # in use all the time
    kept = [key for key in keys if store.get("view", key) is not None]
    assert keys[0] in kept
    assert keys[1] not in kept
    assert keys[-1] in kept
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.*")) <= 1_000_000


def _write_often(folder, seed):
    store = Store(folder, size_limit=500_000)
    draw = np.random.default_rng(seed)
    for number in draw.integers(0, 20, 200):
        key = store_key(number=int(number))
        entry = store.get("view", key)
        if entry is not None and not (entry[0]["x"] == number).all():
            raise AssertionError(f"entry {number} holds {entry[0]['x'][:3]}")
        n_bytes = (5000, 100_000)[number % 2]  # a row or a file
        store.put("view", key, {"x": np.full(n_bytes, number, np.uint8)})


@pytest.mark.slow
def test_processes_share_a_store_that_is_always_evicting(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_write_often, args=(tmp_path, seed)) for seed in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert not list(tmp_path.rglob("*.part"))


def test_objects_are_remembered_per_folder_and_copied(tmp_path):
    first, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    first.remember(KEY, [1])
    first.remember(KEY).append(2)
    assert Store(tmp_path / "a").remember(KEY) == [1]
    assert other.remember(KEY) is None


def test_keys_tell_contents_apart():
    base = {"array": np.arange(3), "model": LogisticRegression(C=1.0), "name": "x"}
    same = {"name": "x", "model": LogisticRegression(C=1.0), "array": np.arange(3)}
    assert store_key(**base) == store_key(**same)
    for other in (
        {"array": np.arange(3.0)},
        {"array": np.arange(3)[None]},
        {"model": LogisticRegression(C=2.0)},
        {"name": None},
    ):
        assert store_key(**{**base, **other}) != store_key(**base)


def test_keys_are_refused_for_what_has_no_description():
    with pytest.raises(TypeError, match="no stable description"):
        store_key(thing=object())


def test_fingerprints_follow_the_state_of_an_object():
    assert fingerprint(LogisticRegression(C=1)) != fingerprint(LogisticRegression(C=2))
    assert fingerprint(LogisticRegression(C=1)) == fingerprint(LogisticRegression(C=1))
    with pytest.raises(TypeError, match="no stable description"):
        fingerprint(lambda: None)


def test_the_default_store_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_STORE", str(tmp_path / "here"))
    assert resolve_store(None).path == (tmp_path / "here").resolve()
    with pytest.raises(TypeError, match="folder or a Store; got int"):
        resolve_store(3)


def test_a_folder_is_not_measured_again_for_each_store_that_opens_it(
    tmp_path, monkeypatch
):
    measured = []
    listed = SmallEntries.list
    monkeypatch.setattr(
        SmallEntries, "list", lambda entries: measured.append(1) or listed(entries)
    )
    for number in range(30):
        Store(tmp_path).put("features", f"{number:04x}", {"a": np.zeros(4)})
    assert len(measured) == 1
    Store(tmp_path, size_limit=1000).put("features", "ffff", {"a": np.zeros(4)})
    assert len(measured) == 2  # of another limit: it may be full
    assert len(Store(tmp_path).keys("features")) < 10
