"""The notebooks say what the scripts of the same names do, and run from top to end."""

import ast
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


def _code(name):
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def _functions(source):
    lines = source.splitlines()
    return {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_functions_of_a_notebook_are_those_of_its_script(name):
    script = _functions((EXAMPLES / f"{name}.py").read_text("utf-8"))
    in_cells = [item for cell in _code(name) for item in _functions(cell).items()]
    assert in_cells
    for function, text in in_cells:
        assert text == script[function], function


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name):
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_end(name, tmp_path):
    pytest.importorskip("skimage")
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        for number in (12, 24):  # fewer people: it is the steps that are tried
            cell.source = cell.source.replace(
                f"N_IDENTITIES = {number}", "N_IDENTITIES = 6"
            )
    runner = client.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    done = runner.execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    warned = [o for o in outputs if o.output_type == "stream" and "swaps" in o.text]
    assert warned  # that the data are not real
