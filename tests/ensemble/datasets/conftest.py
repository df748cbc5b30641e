"""Trees as data sets have them, of tiny files whose content differs."""

import json

import pytest


@pytest.fixture
def plant(tmp_path):
    """Return a function that writes files: each name is its content."""

    def write(*names, root=tmp_path):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(name))
        return root

    return write


@pytest.fixture
def plant_json(tmp_path):
    """Return a function that writes a JSON file."""

    def write(name, content, root=tmp_path):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write
