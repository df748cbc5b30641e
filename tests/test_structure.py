"""The rooms of the house: what CONTRIBUTING.md says of folders, files and imports."""

import ast
import io
import os
import subprocess
import tokenize
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("base_models", "ensemble")
MOST_FILES = 14  # in one folder; thin modules that keep an earlier name do not count
MOST_LINES = 500  # of a file
LARGEST_FILE = 2**20  # bytes of one that is kept: weights and videos are not
MOST_CODE = 60  # of a function: lines that are not empty, comment or docstring

# From the bottom up: a module imports from its own folder and from those before it.
LAYERS = [
    "base_models.choices",
    "base_models.addresses",
    "base_models.deprecation",
    "base_models.errors",
    "base_models.limits",
    "base_models.naming",
    "base_models.inputs",
    "base_models.groups",
    "base_models.runtime",
    "base_models.callbacks",
    "base_models.store",
    "base_models.plugins",
    "base_models.video",
    "base_models.faces",
    "base_models.views",
    "base_models.networks",
    "base_models.augmentation",
    "base_models.training",
    "base_models.inference",
    "base_models.scoring",
    "base_models.detectors.bases",
    "base_models.detectors",
    "base_models.batch",
    "base_models.export",
    "base_models.published",
    "base_models.testing",
    "base_models",
    "ensemble._version",
    "ensemble.choices",
    "ensemble.errors",
    "ensemble.naming",
    "ensemble.scores",
    "ensemble.resampling",
    "ensemble.metrics",
    "ensemble.combiners.parts",
    "ensemble.combiners.meta_models",
    "ensemble.combiners.super_learner",
    "ensemble.combiners",
    "ensemble.calibration",
    "ensemble.datasets.kinds",
    "ensemble.datasets",
    "ensemble.datasets.indexing",
    "ensemble.datasets.forge",
    "ensemble.out_of_fold",
    "ensemble.decision",
    "ensemble.verdicts",
    "ensemble.cascade",
    "ensemble.reporting",
    "ensemble.datasets.exploring",
    "ensemble.persistence",
    "ensemble.testing",
    "ensemble.pipeline",
    "ensemble.comparison",
    "ensemble.presets",
    "ensemble.parameters",
    "ensemble.member_fit",
    "ensemble.combiner_fit",
    "ensemble.fitted_ensemble",
    "ensemble.deepfake_ensemble",
    "ensemble.loading",
    "ensemble.inspection",
    "ensemble.serving.scanning",
    "ensemble.serving.settings",
    "ensemble.serving.problems",
    "ensemble.serving.jobs",
    "ensemble.serving.files",
    "ensemble.serving.scanner",
    "ensemble.serving.uploads",
    "ensemble.serving.submissions",
    "ensemble.serving.metrics",
    "ensemble.serving.api",
    "ensemble.serving.pages",
    "ensemble.serving",
    "ensemble",
    "ensemble.cli",
    "ensemble.cli.commands",
    "ensemble.cli.commands.networks",
    "ensemble.cli.commands.running",
    "ensemble.cli.commands.scores",
    "ensemble.cli.app",
    "ensemble.cli.start",
]
NOISE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)

# What is still to be mended; the entry of what is mended goes.
LONG_FILES = set()
LONG_FUNCTIONS = set()
UPWARDS = set()
IN_CYCLES = set()
PRIVATE = set()


def _modules():
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


@cache
def tree(module):
    return ast.parse(MODULES[module].read_text("utf-8"))


@cache
def keeps_a_name(module):
    """Return whether a module is but another name of one that moved."""
    body = tree(module).body
    return len(body) > 1 and all(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in body[1:]
    )


@cache
def own_imports(module):
    """Return (module of ours, imported name or None), of functions' imports as well."""
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append(
                    (inner, None) if inner in MODULES else (node.module, alias.name)
                )
    return [(to, name) for to, name in found if to in MODULES]


@cache
def layer(module):
    """Return the place of a module in LAYERS."""
    fitting = [x for x in LAYERS if module == x or module.startswith(f"{x}.")]
    own = max(fitting, key=len)
    assert (
        own not in ("base_models", "ensemble") or module == own or keeps_a_name(module)
    ), f"{module} has no place in LAYERS"
    return LAYERS.index(own)


def folder(module):
    return MODULES[module].parent


def code_lines(module):
    """Yield (function, its lines of code) of a module, of those that may be long."""
    functions = [
        node
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= MOST_CODE
    ]
    if not functions:
        return
    source = MODULES[module].read_text("utf-8")
    used = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOISE:
            used |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            docstring = node.body[0]
            used -= set(range(docstring.lineno, docstring.end_lineno + 1))
    for node in functions:
        lines = range(node.lineno, node.end_lineno + 1)
        yield f"{module}.{node.name}", len(used & set(lines))


def test_folders_hold_few_files():
    files = Counter(folder(name) for name in MODULES if not keeps_a_name(name))
    assert {str(f): n for f, n in files.items() if n > MOST_FILES} == {}


def test_test_files_have_names_of_their_own():
    """Two of one name are one module to pytest, which then runs neither."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, n in names.items() if n > 1] == []


def test_every_folder_says_what_it_is_for_in_one_line():
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            text = ast.get_docstring(tree(name))
            assert text, name
            assert "\n" not in text.partition("\n\n")[0], name


def test_every_folder_is_in_the_drawing_of_contributing():
    drawing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for path in {folder(name) for name in MODULES} - {ROOT / p for p in PACKAGES}:
        assert f"{path.name}/" in drawing, path


def test_files_are_short():
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    long = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if len(path.read_text("utf-8").splitlines()) > MOST_LINES
    }
    assert long == LONG_FILES


def test_no_large_file_is_kept():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("it is no checkout")
    files = [ROOT / name for name in os.fsdecode(listed.stdout).split("\0") if name]
    large = [str(f) for f in files if f.is_file() and f.stat().st_size > LARGEST_FILE]
    assert large == []


def test_functions_are_short():
    found = [item for module in MODULES for item in code_lines(module)]
    assert {name for name, lines in found if lines > MOST_CODE} == LONG_FUNCTIONS


def test_imports_run_downwards():
    upwards = {
        (module, to)
        for module in MODULES
        if not keeps_a_name(module)
        for to, _ in own_imports(module)
        if layer(to) > layer(module)
    }
    assert upwards == UPWARDS


def test_nothing_imports_a_module_by_its_earlier_name():
    for module in MODULES:
        for to, _ in own_imports(module):
            assert not keeps_a_name(to), f"{module} imports {to}"


def test_no_module_imports_itself_by_a_detour():
    graph = {
        module: {to for to, _ in own_imports(module)} - {module}
        for module in MODULES
        if module not in IN_CYCLES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_folder_uses_a_private_name_of_another():
    found = {
        (module, f"{to}.{name}")
        for module in MODULES
        for to, name in own_imports(module)
        if name and name.startswith("_") and not name.startswith("__")
        if folder(module) != folder(to)
    }
    assert found == PRIVATE
