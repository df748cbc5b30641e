"""What CONTRIBUTING says of adding an option to a command is followed step by step."""

import importlib
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ensemble.cli.app import app
from ensemble.cli.errors import in_options, options_of
from ensemble.cli.options import Seed, choice

SIZES = ("small", "large")  # in the library, beside what takes them
Size = choice("Size", SIZES)


def draw(
    size: Annotated[Size, typer.Option(help="How much to draw.")] = Size.small,
    seed: Seed = 0,
) -> None:
    """Draw something."""
    typer.echo(f"{size.value} {seed}")


@pytest.fixture
def program():
    """A command line with the command, and a second one, as there are several."""
    program = typer.Typer()
    program.command()(draw)
    program.command("other")(lambda: None)
    return program


def test_an_option_is_one_annotated_parameter(program):
    run = CliRunner().invoke
    assert (
        run(program, ["draw", "--size", "large", "--seed", "3"]).output == "large 3\n"
    )
    assert "How much to draw" in run(program, ["draw", "--help"]).output
    refused = run(program, ["draw", "--size", "huge"])
    assert refused.exit_code == 2
    assert all(size in refused.output for size in SIZES)


def test_an_error_of_the_library_speaks_of_the_option(program):
    spellings = options_of(typer.main.get_command(program), "draw")
    message = "size='large' needs random_state=0"  # the library's names
    assert in_options(message, spellings) == "--size large needs --seed 0"


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)
def test_a_command_is_the_file_of_its_name(name):
    command = typer.main.get_command(app).commands[name]
    module = importlib.import_module(command.callback.__module__)
    assert module.__name__.startswith("ensemble.cli.commands.")
    assert module.__name__.endswith(f".{name}")
    assert f"deepfake-ensemble {name}" in module.EXAMPLES
    assert all(param.help for param in command.params if param.name != "help")
