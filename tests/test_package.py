"""The package: what is installed holds all files that code, types and reports need."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def installed(monkeypatch):
    """Return the files that setuptools copies, by the patterns of setup.cfg."""
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.chdir(ROOT)
    distribution = setuptools.Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    files = {Path(file) for _, _, file in build.find_all_modules()}
    for _, folder, _, names in build.data_files:
        files |= {Path(folder, name) for name in names}
    return files


def test_every_file_of_the_packages_is_installed(installed):
    on_disk = {
        path.relative_to(ROOT)
        for package in ("base_models", "ensemble")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".md")
    }
    assert on_disk - installed == set()


def test_types_and_templates_are_installed(installed):
    assert {
        Path("base_models/py.typed"),
        Path("ensemble/py.typed"),
        Path("ensemble/__init__.pyi"),
        Path("ensemble/reporting/templates/report.html"),
    } <= installed
