"""A stored entry that is not what was written is found, named, and computed again."""

import os
import shutil
import sqlite3
import warnings

import numpy as np
import pytest
from safetensors.numpy import save

from base_models.runtime.caches import clear_caches
from base_models.store import Store, store_key
from base_models.store.encoding import decoded, encoded

KEY = store_key(of="a test")
OTHER = store_key(of="another")
LARGE = {"x": np.arange(20_000.0)}  # too large for a row


@pytest.fixture(autouse=True)
def _nothing_was_named():
    clear_caches()


def file_of(folder, key=KEY):
    return folder / "view" / key[:2] / f"{key}.safetensors"


def test_any_change_of_a_byte_is_found():
    arrays = {"x": np.arange(6, dtype=np.int16).reshape(2, 3)}
    content = encoded(arrays, {"reason": "none"}, "view/a")
    for place in range(len(content)):
        for bit in (1, 128):
            changed = bytearray(content)
            changed[place] ^= bit
            with pytest.raises((ValueError, KeyError, TypeError)):
                decoded(changed, "view/a")
    for length in range(len(content)):
        if length != len(content) - 8:  # as it was written before there were checksums
            with pytest.raises((ValueError, KeyError, TypeError)):
                decoded(content[:length], "view/a")
    np.testing.assert_array_equal(decoded(content, "view/a")[0]["x"], arrays["x"])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("is_own", [False, True])
def test_a_damaged_view_is_named_and_made_anew(tmp_path, mapped, is_own):
    if not is_own:
        (tmp_path / "thesis.txt").write_text("of somebody")
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    content = bytearray(file_of(tmp_path).read_bytes())
    content[-5000] ^= 1
    file_of(tmp_path).write_bytes(content)
    with pytest.warns(UserWarning, match=f"{KEY}.safetensors is damaged: view"):
        assert store.get("view", KEY, mapped) is None
    assert file_of(tmp_path).exists() != is_own
    store.put("view", KEY, LARGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(
            store.get("view", KEY, mapped)[0]["x"], LARGE["x"]
        )


def test_an_entry_in_the_place_of_another_is_found(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    file_of(tmp_path, OTHER).parent.mkdir(exist_ok=True)
    shutil.copy(file_of(tmp_path), file_of(tmp_path, OTHER))
    with pytest.warns(UserWarning, match="its checksum is another"):
        assert store.get("view", OTHER) is None
    assert store.get("view", KEY) is not None


def test_a_damaged_small_entry_is_found(tmp_path):
    store = Store(tmp_path)
    store.put("scores", KEY, {"x": np.ones(3)})
    with sqlite3.connect(tmp_path / "small.sqlite") as database:
        ((content,),) = database.execute("select content from entries")
        changed = content.replace(np.ones(1).tobytes(), np.full(1, 2.0).tobytes())
        assert changed != content
        database.execute("update entries set content = ?", (changed,))
    with pytest.warns(UserWarning, match="small.sqlite is damaged: scores"):
        assert store.get("scores", KEY) is None
    assert store.keys("scores") == []


def test_a_database_whose_description_is_no_text_is_damaged(tmp_path):
    store = Store(tmp_path)
    store.put("scores", KEY, {"x": np.ones(3)})
    clear_caches()
    copy = tmp_path / "copy"
    copy.mkdir()
    with sqlite3.connect(tmp_path / "small.sqlite") as database:
        database.execute(f"vacuum into '{copy}/small.sqlite'")
    content = (copy / "small.sqlite").read_bytes()
    at = content.lower().index(b"create table") + 3
    changed = content[:at] + b"\x95" + content[at + 1 :]
    (copy / "small.sqlite").write_bytes(changed)
    with pytest.warns(UserWarning, match="small.sqlite"):
        assert Store(copy).get("scores", KEY) is None


def test_a_damaged_object_of_a_bucket_is_found():
    store = Store("memory://checksums/store")
    store.put("view", KEY, LARGE)
    changed = bytearray(store._objects.read("view", KEY))
    changed[-5000] ^= 1
    store._objects.write("view", KEY, bytes(changed))
    with pytest.warns(UserWarning, match="is damaged: view"):
        assert store.get("view", KEY) is None


def test_of_many_damaged_files_the_first_few_are_named(tmp_path):
    store = Store(tmp_path)
    keys = [store_key(of=number) for number in range(20)]
    for key in keys:
        store.put("view", key, LARGE)
        file_of(tmp_path, key).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged") as caught:
        assert all(store.get("view", key) is None for key in keys)
    assert len(caught) == 6
    assert "more are, which are not named" in str(caught[-1].message)


def test_an_entry_of_before_there_were_checksums_is_read(tmp_path):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    file_of(tmp_path).write_bytes(save(LARGE, {"meta": "{}"}))
    np.testing.assert_array_equal(store.get("view", KEY, True)[0]["x"], LARGE["x"])
    assert np.shares_memory(*[store.get("view", KEY, True)[0]["x"]] * 2)


def test_a_release_before_reads_what_is_written_now():
    # It went by the header alone.
    content = encoded(LARGE, {}, "view/a")
    plain = save(LARGE, {"meta": "{}"})
    assert content.startswith(plain)
    assert len(content) == len(plain) + 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("mapped", [False, True])
def test_a_pipe_in_place_of_an_entry_is_not_waited_for(tmp_path, mapped):
    store = Store(tmp_path)
    store.put("view", KEY, LARGE)
    file = file_of(tmp_path)
    file.unlink()
    os.mkfifo(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a pipe that cannot be mapped is an empty file
        assert store.get("view", KEY, mapped=mapped) is None
    store.put("view", KEY, LARGE)
    np.testing.assert_array_equal(store.get("view", KEY)[0]["x"], LARGE["x"])
