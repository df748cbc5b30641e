"""A run that ends early ends: no thread of Arrow wants Python when there is none."""

import gzip
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest

pytest_plugins = ["remote"]

SCRIPT = """
import sys
from base_models.batch.input_table import open_table
from base_models.batch.table_rows import rows_of

assert rows_of(open_table(sys.argv[1], "path"), 0, 5).num_rows == 5
raise SystemExit(3)
"""
PATHS = [f"a folder of some length/{number}.mp4" for number in range(150_000)]


def write(path):
    """Write a table that takes many readings, of which the first rows take one."""
    text = "\n".join(["path", *PATHS]).encode()
    if path.suffix == ".parquet":
        table = pa.table({"path": PATHS})
        pyarrow.parquet.write_table(table, path, row_group_size=50_000)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
@pytest.mark.parametrize("at", ["here", "an address"])
def test_who_leaves_after_some_rows_is_not_kept(name, at, tmp_path, web):
    place = write(tmp_path / name)
    if at == "an address":
        web.delay = 0.03  # a reading is under way when the program ends
        place = web.put(name, place.read_bytes())
    for _ in range(2):
        left = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(place)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert left.returncode == 3, left.stderr[-2000:]
