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
from ensemble.persistence.signature import secret

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
    del manifest["manifest_sha256"]  # as in a file of an earlier release
    manifest["sha256"] = {n: hashlib.sha256(c).hexdigest() for n, c in parts.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.comment = comment


@pytest.mark.slow_after(1)
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


@pytest.mark.slow
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


def verified(*arguments):
    said = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    return said.exit_code, " ".join(said.output.replace("│", "").split())


def test_verify_says_what_it_checked(rule, tmp_path):
    path, key = tmp_path / "rule.dfe", tmp_path / "key"
    key.write_bytes(KEY)
    rule.save(path)
    code, said = verified(path)
    assert code == 0
    assert ": no damage in it (" in said
    assert "1 parts, each with its checksum); it is not signed" in said
    assert "or changed its settings" in said
    assert "its settings have no checksum" not in said
    assert verified(path, "--key", key)[0] == 1
    rule.save(path, key=KEY)
    assert verified(path)[1].endswith("was not checked: give --key")
    assert verified(path, "--key", key) == (0, verified(path, "--key", key)[1])
    said = verified(path, "--key", key)[1]
    assert ": as it was saved (" in said
    assert said.endswith("it is signed with this key")
    forged(path, {"versions": {}})
    code, said = verified(path, "--key", key)
    assert code == 1
    assert "was not signed with this key, or was changed since" in said
    rule.save(path, overwrite=True)
    forged(path, {"versions": {}})
    code, said = verified(path)
    assert code == 0
    assert ": no damage in its parts (" in said
    assert "its settings have no checksum" in said


def test_verify_says_what_a_damaged_file_is(rule, tmp_path):
    path = tmp_path / "rule.dfe"
    rule.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    code, said = verified(path)
    assert code == 1
    assert "cut short or damaged" in said
    path.write_bytes(content.replace(b'"format"', b'"f0rmat"', 1))
    code, said = verified(path)
    assert code == 1
    assert "is damaged" in said
    assert "get it again" in said
    rule.save(path, overwrite=True)
    forged(path, {"table": {"columns": ["a"], "attrs": {"reason": ["a", "b"]}}})
    code, said = verified(path)
    assert code == 1
    assert "its table of scores cannot be read" in said
    code, said = verified(tmp_path)
    assert code == 2
    assert "neither a saved model nor a folder that convert wrote" in said


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


def test_a_key_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_KEY", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match=r"absent, which DEEPFAKE_ENSEMBLE_KEY"):
        secret(None)


def rewritten(path, change=None, comment=b"", dates=(1980, 1, 1, 0, 0, 0)):
    """Write the same parts once more, with a change to the text of the manifest."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            if change is not None and name == "manifest.json":
                assert change[0] in content
                content = content.replace(*change, 1)
            archive.writestr(zipfile.ZipInfo(name, dates), content)
        archive.comment = comment


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"         0.5\n", b"         0.99\n"), "are not what was saved"),
        ((b'"format": ', b'"format": 3, "format": '), "it says 'format' twice"),
    ],
)
def test_settings_that_were_edited_are_damage(rule, tmp_path, change, message):
    path = tmp_path / "rule.dfe"
    rule.save(path)
    rewritten(path)
    assert verified(path)[0] == 0
    rewritten(path, change)
    code, said = verified(path)
    assert code == 1
    assert message in said
    with pytest.raises(CheckpointError, match=message):
        ensemble.load(path)


def test_only_the_form_of_a_signature_is_one(rule, tmp_path):
    path = tmp_path / "rule.dfe"
    rule.save(path, key=KEY)
    signed = zipfile.ZipFile(path).comment
    for comment in (b"hello", signed.upper(), signed + b" "):
        rewritten(path, comment=comment)
        code, said = verified(path)
        assert code == 1
        assert "it has a comment, which is no signature" in said
    rewritten(path, comment=signed)
    assert verified(path)[1].endswith("was not checked: give --key")


def test_bytes_of_no_part_and_dates_are_no_part_of_a_signed_file(rule, tmp_path):
    path, key = tmp_path / "rule.dfe", tmp_path / "key"
    key.write_bytes(KEY)
    rule.save(path, key=KEY)
    plain = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        begin, signed = archive.start_dir, archive.comment
    end = plain.rindex(b"PK\5\6")
    moved = (begin + 300).to_bytes(4, "little")  # where the list of parts begins now
    gap = plain[:begin] + b"GAP" * 100 + plain[begin : end + 16] + moved
    path.write_bytes(gap + plain[end + 20 :])
    assert zipfile.ZipFile(path).testzip() is None
    code, said = verified(path, "--key", key)
    assert code == 1
    assert "there is something else behind its parts" in said
    path.write_bytes(plain)
    assert verified(path, "--key", key)[0] == 0
    rewritten(path, comment=signed, dates=(2026, 1, 1, 0, 0, 0))
    code, said = verified(path, "--key", key)
    assert code == 1
    assert "was changed since it was signed" in said
