"""``models``: checkpoints that others publish, and which of them are here."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ensemble.cli.output import write_out

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble models\n\n"
    "  deepfake-ensemble models sbi-efficientnet-b4\n\n"
    "  deepfake-ensemble models --json"
)


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show all details of one.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List checkpoints and weights that others publish; `get` downloads them."""
    from base_models.published import published_model, published_models

    entries = published_models() if name is None else [published_model(name)]
    if as_json:
        told = [asdict(entry) | {"fetched": _is_here(entry)} for entry in entries]
        write_out(json.dumps(told, indent=1) + "\n")
    elif name is None:
        for entry in entries:
            here = "fetched" if _is_here(entry) else ""
            line = f"{entry.name:31}  {here:7}  {entry.licence:20}  "
            start = f"start of {entry.backbone}: " if entry.backbone else ""
            typer.echo(line + start + ", ".join(entry.trained_on))
    else:
        for line in describe(entries[0]):
            typer.echo(line)


def describe(entry) -> list[str]:
    """Say all that is known of a published checkpoint, a line a thing."""
    unknown = "unknown"
    sha256 = f"{unknown}; recorded at the first fetch"
    told = {
        "name": entry.name,
        "page": entry.page,
        "file": entry.url or f"{unknown}; fetch {entry.file} by hand from the page",
        "in it": entry.member or "",
        "licence": f"{entry.licence}, {entry.licence_url}",
        "trained on": ", ".join(entry.trained_on),
        "figures": entry.figures,
        "size": unknown if entry.size is None else f"{entry.size} bytes",
        "sha256": entry.sha256 or sha256,
        "use": f"{entry.use}; no detector, a start" if entry.backbone else "",
        "looks at": ", ".join(f"{key} {value}" for key, value in entry.load.items()),
        "note": entry.note,
    }
    return [f"{key:10}  {value}" for key, value in told.items() if value]


def _is_here(entry):
    from base_models.published import model_path

    try:
        model_path(entry.name)
    except ValueError:
        return False
    return True
