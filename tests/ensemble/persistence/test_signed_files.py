"""A key says who wrote a saved model, which checksums cannot."""

import hashlib
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import ensemble
from base_models import CheckpointError
from ensemble import ScorePipeline
from ensemble.cli.app import app

KEY = b"0123456789abcdef0123456789abcdef"
SAVED = Path(__file__).parents[2] / "saved_models" / "version_1" / "reals_alone.dfe"


@pytest.fixture(scope="module")
def model():
    return ensemble.load(SAVED)


@pytest.fixture(scope="module")
def rule():
    scores = pd.DataFrame(
        {"a": [0.1, 0.2, 0.8, 0.9] * 5, "b": [0.3, 0.1, 0.7, 0.6] * 5}
    )
    return ScorePipeline("soft").fit(scores, [0, 0, 1, 1] * 5, groups=range(20))


def forged(path, changed):
    """Write a changed manifest, with right checksums and the old signature."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    manifest = {**json.loads(parts.pop("manifest.json")), **changed}
    manifest["sha256"] = {n: hashlib.sha256(c).hexdigest() for n, c in parts.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.comment = comment


@pytest.mark.parametrize("kind", ["model", "rule"])
def test_a_signed_file_loads_with_its_key_alone(request, tmp_path, kind):
    saved, path = request.getfixturevalue(kind), tmp_path / "model.dfe"
    saved.save(path, key=KEY)
    assert type(ensemble.load(path, key=KEY)) is type(saved)
    ensemble.load(path)  # who asks for no signature gets none checked
    with pytest.raises(CheckpointError, match="was not signed with this key"):
        ensemble.load(path, key=KEY[::-1])
    forged(path, {"versions": {}})
    ensemble.load(path)
    with pytest.raises(CheckpointError, match="or was changed since"):
        ensemble.load(path, key=KEY)


def test_an_unsigned_file_is_refused_where_a_key_is_given(model, tmp_path):
    model.save(tmp_path / "model.dfe")
    with pytest.raises(CheckpointError, match="is not signed"):
        ensemble.load(tmp_path / "model.dfe", key=KEY)
    with pytest.raises(CheckpointError, match="is not signed"):
        ensemble.load(SAVED, key=KEY)


def test_a_key_may_lie_in_a_file_that_the_environment_names(
    rule, tmp_path, monkeypatch
):
    (tmp_path / "key").write_bytes(KEY)
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_KEY", str(tmp_path / "key"))
    rule.save(tmp_path / "rule.dfe")
    ScorePipeline.load(tmp_path / "rule.dfe")
    with pytest.raises(CheckpointError, match="is not signed"):
        ensemble.load(SAVED)
    monkeypatch.delenv("DEEPFAKE_ENSEMBLE_KEY")
    ScorePipeline.load(tmp_path / "rule.dfe", key=tmp_path / "key")
    with pytest.raises(CheckpointError, match="is not signed"):
        ensemble.load(SAVED, key=str(tmp_path / "key"))


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (b"short", ValueError, "at least 16 bytes; got 5"),
        (3, TypeError, "bytes or the path"),
        ("absent.key", FileNotFoundError, "absent.key"),
    ],
)
def test_a_key_that_is_none_is_refused_before_anything_is_written(
    rule, tmp_path, key, error, message
):
    with pytest.raises(error, match=message):
        rule.save(tmp_path / "rule.dfe", key=key)
    assert not list(tmp_path.iterdir())


def test_verify_says_what_it_checked(rule, tmp_path):
    run, path = CliRunner().invoke, tmp_path / "rule.dfe"
    (tmp_path / "key").write_bytes(KEY)
    rule.save(path)
    said = run(app, ["verify", str(path)])
    assert said.exit_code == 0
    assert "1 parts, each with its checksum" in said.output.replace("\n", " ")
    assert "may be anybody's" in said.output.replace("\n", " ")
    said = run(app, ["verify", str(path), "--key", str(tmp_path / "key")])
    assert said.exit_code != 0
    rule.save(path, key=KEY)
    said = run(app, ["verify", str(path), "--key", str(tmp_path / "key")])
    assert said.exit_code == 0
    assert "signed with this key" in said.output


def test_what_carries_no_signature_is_refused_where_the_environment_asks_for_one(
    tmp_path, monkeypatch
):
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "full_c23.p").write_bytes(b"weights")
    (tmp_path / "clip.mp4").write_bytes(b"video")
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_KEY", str(tmp_path / "key"))
    for command in ("predict", "scan"):
        said = CliRunner().invoke(
            app,
            [
                command,
                str(tmp_path / "clip.mp4"),
                "--model",
                str(tmp_path / "full_c23.p"),
            ],
        )
        assert said.exit_code == 2
        assert "carries no signature" in " ".join(said.output.replace("│", "").split())
