"""Files of every kind of an earlier version are read: rules, tables, networks."""

import importlib.util
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ensemble
from base_models import ArtifactError, Store, load_checkpoint
from base_models.store import store_key
from ensemble.datasets import load_dataset
from ensemble.scores import companions

SAVED = Path(__file__).resolve().parents[2] / "saved_models"
VERSIONS = sorted(folder for folder in SAVED.iterdir() if (folder / "network").is_dir())
each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def written():
    """The script that wrote the files."""
    spec = importlib.util.spec_from_file_location("others", SAVED / "write_others.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_version
@pytest.mark.parametrize("name", ["logistic", "log_odds"])
def test_a_rule_judges_as_it_did(version, name, written):
    rule = ensemble.load(version / f"{name}.dfe")
    known = json.loads((version / "expected.json").read_text("utf-8"))["rules"][name]
    p_fake = rule.judge(written.scores(1))["p_fake"]
    np.testing.assert_allclose(p_fake, known, atol=1e-9)


@each_version
def test_a_signature_is_known(version, written):
    ensemble.load(version / "logistic.dfe", key=written.KEY)
    with pytest.raises(ArtifactError, match="not signed with this key"):
        ensemble.load(version / "logistic.dfe", key=written.KEY[::-1])


@each_version
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_scores_is_read(version, suffix, written):
    table = ensemble.read_scores(version / f"scores{suffix}")
    pd.testing.assert_frame_equal(
        table.reset_index(drop=True), written.scores(0), check_names=False
    )
    assert companions(table)["group"].tolist()[:3] == ["000", "000", "001"]
    if suffix == ".parquet":
        assert table.attrs["provenance"]["out_of_fold"] is True


@each_version
def test_an_index_is_a_data_set(version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = load_dataset(
            "csv", version / "index.parquet", missing="keep", duplicates="allow"
        )
    assert table.labels == [0, 1]
    assert table.table["frames"].tolist() == [6, 6]


@each_version
def test_a_converted_network_is_opened(version):
    detector = load_checkpoint(version / "network")
    assert detector.card_["trained_on"] == ["nothing"]
    assert detector.drift() <= detector.allowed_drift


@each_version
def test_entries_with_checksums_are_read(version, written, tmp_path):
    shutil.copytree(version / "entries", tmp_path / "entries")
    store = Store(tmp_path / "entries")
    for kind, values in written.ENTRIES.items():
        arrays, meta = store.get(kind, store_key(of=kind))
        np.testing.assert_array_equal(arrays["x"], values)
        assert meta == {"of": kind}
