"""Types: what the stubs of the folders list for users has annotated signatures."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def tree(path):
    return ast.parse(path.read_text("utf-8"))


def public_names():
    """Yield (name, file to look in, name there) of what the folders list for users."""
    lists = [*ROOT.glob("base_models/**/*.pyi"), *ROOT.glob("ensemble/**/*.pyi")]
    lists.append(ROOT / "ensemble" / "combiners" / "__init__.py")
    for path in sorted(lists):
        for node in tree(path).body:
            if isinstance(node, ast.ImportFrom):
                folder = path.parents[node.level - 1] if node.level else ROOT
                file = folder.joinpath(*node.module.split(".")).with_suffix(".py")
                for alias in node.names:
                    yield alias.asname or alias.name, file, alias.name


def definition(file, name):
    """Return the node of a public function or class; None of a constant."""
    for node in tree(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    origin = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
                    return definition(origin, alias.name)
    return None


def signatures(node):
    """Yield the functions that a user of a function or class may call."""
    if isinstance(node, ast.FunctionDef):
        yield node
    elif isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and (
                not part.name.startswith("_") or part.name in ("__init__", "__call__")
            ):
                yield part


def untyped_parameters(function, of_class):
    """List the parameters (and "return") that have no annotation."""
    parts = function.args
    arguments = [*parts.posonlyargs, *parts.args, *parts.kwonlyargs]
    arguments += [part for part in (parts.vararg, parts.kwarg) if part]
    static = any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    if of_class and not static:
        arguments = arguments[1:]
    untyped = [part.arg for part in arguments if part.annotation is None]
    if function.returns is None and function.name != "__init__":
        untyped.append("return")
    return untyped


def untyped():
    """Return the places that lack types of each public name."""
    lacking = {}
    for public, file, name in public_names():
        node = definition(file, name)
        of_class = isinstance(node, ast.ClassDef)
        places = [
            f"{function.name}({parameter})"
            for function in signatures(node)
            for parameter in untyped_parameters(function, of_class)
        ]
        if places:
            lacking[public] = places
    return lacking


def test_every_public_signature_is_annotated():
    assert untyped() == {}
