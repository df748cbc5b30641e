"""An S3 bucket of a real server on the loopback interface."""

import uuid

import fsspec
import pytest

from base_models import clear_caches


@pytest.fixture
def bucket(monkeypatch):
    """Name of an empty bucket that this process and its children find as s3://..."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    fs_class = fsspec.get_filesystem_class("s3")
    fs_class.clear_instance_cache()
    clear_caches()
    name = f"videos-{uuid.uuid4().hex[:8]}"  # all servers of a process have the same
    fsspec.filesystem("s3").mkdir(name)
    yield name
    fs_class.clear_instance_cache()
    server.stop()
