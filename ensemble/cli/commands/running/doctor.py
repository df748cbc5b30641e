"""``doctor``: what is installed here, and whether it works."""

import json
from dataclasses import asdict
from itertools import chain, groupby
from typing import Annotated

import typer

from ensemble.cli.output import write_out

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble doctor\n\n"
    "  deepfake-ensemble doctor --json > machine.json\n\n"
    "Exit code 0: all that is installed works; 1: something is in trouble."
)
_SIGNS = {"ok": " ", "absent": "-", "trouble": "!"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this installation: versions, devices, engines, store, a short self-test.

    Nothing is fetched, and nothing leaves this machine.
    """
    from ensemble.cli.commands.running.machine_checks import TROUBLE, machine_checks
    from ensemble.cli.commands.running.self_test import self_test

    checks = []
    found = chain(machine_checks(), self_test())
    for part, of_part in groupby(found, key=lambda check: check.part):
        if not as_json:
            typer.echo(part)
        for check in of_part:
            checks.append(check)
            if not as_json:
                _write(check)
    n_trouble = sum(check.state == TROUBLE for check in checks)
    if as_json:
        content = {"checks": [asdict(c) for c in checks], "n_trouble": n_trouble}
        write_out(json.dumps(content, indent=1) + "\n")
    else:
        typer.echo(_summary(n_trouble))
    if n_trouble:
        raise typer.Exit(1)


def _write(check):
    typer.echo(f"{_SIGNS[check.state]} {check.name:18}  {check.found}")
    if check.advice:
        typer.echo(f"  {'':18}  -> {check.advice}")


def _summary(n_trouble):
    if not n_trouble:
        return "\nAll that is installed works. Lines with - are optional."
    things = "thing needs" if n_trouble == 1 else "things need"
    return f"\n{n_trouble} {things} attention: the lines with !"
