"""Videos in a bucket, of a server that speaks S3."""

import fsspec
import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models import clear_caches
from base_models.errors import VideoReadError
from base_models.runtime.remote import reading
from base_models.runtime.remote.facts import remote_facts
from base_models.video import list_videos, probe_video, sample_frames, video_digest
from base_models.video.paths import hashed_once

pytest_plugins = ["bucket"]


@pytest.mark.slow
def test_videos_in_a_bucket(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 4096)
    fs = fsspec.filesystem("s3")
    for name in ("a.mp4", "a.mkv"):
        path = encode(tmp_path / name, counting_frames(30))
        address = f"s3://{bucket}/{name}"
        fs.put_file(str(path), address)
        np.testing.assert_array_equal(sample_frames(address, 4), sample_frames(path, 4))
        assert probe_video(address).n_frames == 30
        assert video_digest(address, in_full=True) == video_digest(path)
    found = [f"s3://{bucket}/a.mkv", f"s3://{bucket}/a.mp4"]
    assert list_videos(f"s3://{bucket}") == found
    facts = remote_facts(f"s3://{bucket}/a.mp4")
    assert (
        reading.read_range(facts, 5, 5000) == (tmp_path / "a.mp4").read_bytes()[5:5000]
    )


@pytest.mark.slow
def test_versions_in_a_bucket(bucket, tmp_path):
    fs, address = fsspec.filesystem("s3"), f"s3://{bucket}/a.mp4"
    path = encode(tmp_path / "a.mp4", counting_frames(30))
    fs.put_file(str(path), address)
    fs.ls(bucket)  # a listing that will be old
    first = video_digest(address)
    fs.copy(address, f"s3://{bucket}/copy.mp4")
    assert video_digest(f"s3://{bucket}/copy.mp4") == first  # the same tag
    with hashed_once([address]):
        video_digest(address)
        fs.put_file(str(encode(tmp_path / "b.mp4", counting_frames(20))), address)
        with pytest.raises(VideoReadError, match="changed while it was read"):
            sample_frames(address, 3)
    assert video_digest(address) != first
    assert probe_video(address).n_frames == 20


@pytest.mark.slow
def test_what_a_bucket_refuses(bucket, monkeypatch):
    with pytest.raises(VideoReadError, match="no such file"):
        sample_frames(f"s3://{bucket}/absent.mp4")
    with pytest.raises(VideoReadError, match="s3://absent/a.mp4"):
        sample_frames("s3://absent/a.mp4")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/folder/a.mp4", b"content")
    with pytest.raises(VideoReadError, match="it is a folder"):
        sample_frames(f"s3://{bucket}/folder")
    with pytest.raises(VideoReadError, match="it cannot be opened"):
        sample_frames(f"s3://{bucket}/folder/a.mp4")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    type(fsspec.filesystem("s3")).clear_instance_cache()
    clear_caches()
    with pytest.raises(VideoReadError, match="cannot be read|in time"):
        sample_frames(f"s3://{bucket}/folder/a.mp4")
