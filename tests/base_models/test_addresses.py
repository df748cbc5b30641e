"""Which texts are addresses, and what of them may be shown."""

import pytest

from base_models.addresses import content_name, ending, public_name, remote_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:pw@host:81/a.mp4", "https://host:81/a.mp4"),
        ("https://h/a.mp4?sv=1&sig=x&se=2&id=3", "https://h/a.mp4?id=3"),
        ("https://h/a.mp4?token=x#t=1", "https://h/a.mp4"),
        ("https://h/v?key=a.mp4&api_key=x", "https://h/v?key=a.mp4"),
        ("s3://bucket/a#1.mp4", "s3://bucket/a#1.mp4"),
        ("zip://a.mp4::https://u:pw@h/a.zip?sig=x", "zip://a.mp4::https://h/a.zip"),
        ("http:/u:pw@h/a.mp4", "http://h/a.mp4"),
        ("ftp://u:p@w@h/a.mp4", "ftp://h/a.mp4"),
        ("https://u:pw@[bad/a?sig=x", "https://[bad/a"),
        ("cannot read https://u:pw@h/a?sig=x: no", "cannot read https://h/a no"),
        ("/data/a:b/c.mp4", "/data/a:b/c.mp4"),
        ("C:/clips/a.mp4", "C:/clips/a.mp4"),
    ],
)
def test_what_grants_access_is_left_out(address, shown):
    assert public_name(address) == shown


def test_a_digest_is_of_the_file_and_not_of_its_signature():
    one = content_name("https://u:a@h/a.mp4?key=1&X-Amz-Signature=1&X-Amz-Date=1")
    assert one == content_name("https://h/a.mp4?key=1&X-Amz-Signature=2")
    assert one != content_name("https://h/a.mp4?key=2")


def test_files_of_this_machine_are_no_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "C:/a.mp4", "file:///a.mp4", "C:\\a.mp4", 3, None):
        assert remote_address(name) is None
    (tmp_path / "s3:").mkdir()
    (tmp_path / "s3:" / "a.mp4").touch()
    assert remote_address("s3://a.mp4") is None
    assert ending("s3://bucket/a.b/c.MKV") == ".mkv"
