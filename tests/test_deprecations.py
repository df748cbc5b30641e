"""What is deprecated says so, and goes in the version that it named."""

import ast
from pathlib import Path

import pytest
from packaging.version import Version

from base_models.deprecation import deprecated, renamed_parameter
from ensemble import __version__

ROOT = Path(__file__).resolve().parents[1]


def overdue(source, version):
    """Return the lines of a source at which what is deprecated should have gone."""
    found = []
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.Call) and getattr(node.func, "id", "")
        if named in ("deprecated", "renamed_parameter"):
            given = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
            if Version(given["until"]) <= Version(version):
                found.append((node.lineno, given["until"]))
    return found


def test_what_was_to_go_by_this_version_is_gone():
    for package in ("base_models", "ensemble"):
        for path in (ROOT / package).rglob("*.py"):
            assert overdue(path.read_text("utf-8"), __version__) == [], path


def test_the_test_finds_what_is_overdue():
    source = '@deprecated(since="0.2", until="0.4")\ndef f(): ...\n'
    assert overdue(source, "0.3.9") == []
    assert overdue(source, "0.4.0") == [(1, "0.4")]
    source = 'renamed_parameter("a", "b", since="0.2", until="0.10")(f)\n'
    assert overdue(source, "0.9") == []
    assert overdue(source, "0.10.1") == [(1, "0.10")]


def test_a_function_warns_where_it_is_called():
    @deprecated(since="0.2", until="0.4", instead="`total`")
    def add(values):
        """Add them."""
        return sum(values)

    with pytest.warns(
        FutureWarning, match=r"add is deprecated since 0\.2 and"
    ) as caught:
        assert add([1, 2]) == 3
    assert caught[0].filename == __file__
    assert add.__doc__ == "Add them."


def test_a_parameter_is_taken_by_both_names_and_not_twice():
    @renamed_parameter("n", "n_frames", since="0.2", until="0.4")
    def sample(n_frames=8):
        return n_frames

    assert sample(n_frames=2) == 2
    with pytest.warns(FutureWarning, match=r"parameter n of .*sample .* use n_frames"):
        assert sample(n=4) == 4
    with pytest.raises(TypeError, match="got n_frames, and n, its former name"):
        sample(n=1, n_frames=2)


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
