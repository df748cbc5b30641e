"""What the command line lets choose is what the library has."""

import re
import typing
from enum import Enum

import pytest
from typer.testing import CliRunner

from base_models import FrameDetector
from base_models.choices import TRAINED_PARTS, VIEWS
from base_models.video.quality import LEVELS
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.choices import DUPLICATES, FACES_POOLINGS, NESTINGS, ON_ERROR
from ensemble.cli.app import app
from ensemble.cli.commands import compare, fit, stress
from ensemble.cli.commands.networks import convert
from ensemble.comparison.protocols import PROTOCOLS
from ensemble.datasets.kinds.registry import kind_names
from ensemble.inspection.changes import CHANGES
from ensemble.presets import STRATEGIES


def offered(command, option):
    """Return the names that an option of a command takes."""
    annotation = typing.get_type_hints(command)[option]
    types = [annotation, *typing.get_args(annotation)]
    (names,) = (x for x in types if isinstance(x, type) and issubclass(x, Enum))
    return [name.value for name in names]


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        (fit.fit, "strategy", STRATEGIES),
        (fit.fit, "kind", kind_names()),
        (fit.fit, "duplicates", DUPLICATES),
        (fit.fit, "train", TRAINED_PARTS),
        (fit.fit, "faces_pooling", FACES_POOLINGS),
        (fit.fit, "on_error", ON_ERROR),
        (compare.compare, "train", TRAINED_PARTS),
        (compare.compare, "protocol", PROTOCOLS),
        (compare.compare, "nesting", NESTINGS),
        (convert.convert, "scope", VIEWS),
        (convert.convert, "compression", LEVELS),
    ],
)
def test_an_option_takes_what_the_library_has(command, option, names):
    assert offered(command, option) == list(names)


@pytest.mark.parametrize(
    ("command", "option", "documented", "parameter"),
    [
        (fit.fit, "strategy", DeepfakeEnsemble, "strategy"),
        (fit.fit, "train", FrameDetector, "train"),
        (fit.fit, "faces_pooling", DeepfakeEnsemble, "faces_pooling"),
        (fit.fit, "on_error", DeepfakeEnsemble, "on_error"),
        (compare.compare, "nesting", compare_strategies, "nesting"),
    ],
)
def test_an_option_takes_what_a_docstring_promises(
    command, option, documented, parameter
):
    (names,) = re.findall(rf"^ *{parameter} : {{(.*)}}", documented.__doc__, re.M)
    assert offered(command, option) == re.findall(r'"(.*?)"', names)


COMMANDS = {entry.callback.__name__: entry for entry in app.registered_commands}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_breaks_no_name_in_80_columns(command):
    screen = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    words = CliRunner().invoke(app, [command, "--help"], env=screen).output
    words = set(re.split(r"[^\w-]+", words))
    for annotation in typing.get_type_hints(COMMANDS[command].callback).values():
        for kind in (annotation, *typing.get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, Enum):
                assert {name.value for name in kind} <= words


def test_the_help_of_stress_names_every_change():
    (option,) = stress.Changes.__metadata__
    assert re.findall(r"\w+", option.help.partition(":")[2]) == list(CHANGES)
