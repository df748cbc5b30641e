"""The Typer application: its commands, and what happens to their errors."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from base_models.runtime.file_writing import watching_outputs
from ensemble.cli.commands import (
    assemble,
    batch,
    compare,
    demo,
    explore,
    fit,
    forge,
    index,
    predict,
    prepare,
    scan,
    stress,
)
from ensemble.cli.commands.networks import convert, export, get, lean, models, verify
from ensemble.cli.commands.running import doctor, serve, watch
from ensemble.cli.commands.scores import apply, combine
from ensemble.cli.errors import (
    DONE,
    FATAL,
    STOPPED,
    explain,
    in_options,
    options_of,
    taking_debug,
)
from ensemble.cli.limits import reads_videos
from ensemble.cli.options import PanelledCommand
from ensemble.cli.output import write_what_can_be_written
from ensemble.cli.stopping import (
    say_no_more,
    stop_on_signals,
    was_stopped,
    what_is_kept,
)
from ensemble.reporting.plain_text import printable_lines

# Click's ClickException, of the copy of click that this typer uses.
_UsageError = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="deepfake-ensemble",
    help="Detect deepfake videos with an ensemble of detectors.",
    epilog="Exit codes: 0 done; 1 some videos could not be scored, something was left "
    "out of a fit, or a model has changed; 2 wrong usage or an error; 130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
    debug: Annotated[  # taken by `main`, after any command as well
        bool, typer.Option("--debug", help="Show where an error came from.")
    ] = False,
) -> None:
    if version:
        from ensemble import __version__

        typer.echo(f"deepfake-ensemble {__version__}")
        raise typer.Exit(DONE)


# In the order of the help.
app.command(cls=PanelledCommand, epilog=demo.EXAMPLES)(demo.demo)
app.command(cls=PanelledCommand, epilog=prepare.EXAMPLES)(reads_videos(prepare.prepare))
app.command(cls=PanelledCommand, epilog=explore.EXAMPLES)(reads_videos(explore.explore))
app.command(cls=PanelledCommand, epilog=index.EXAMPLES)(reads_videos(index.index))
app.command(cls=PanelledCommand, epilog=forge.EXAMPLES)(forge.forge)
app.command(cls=PanelledCommand, epilog=fit.EXAMPLES)(reads_videos(fit.fit))
app.command(cls=PanelledCommand, epilog=assemble.EXAMPLES)(assemble.assemble)
app.command(cls=PanelledCommand, epilog=predict.EXAMPLES)(reads_videos(predict.predict))
app.command(cls=PanelledCommand, epilog=batch.EXAMPLES)(
    reads_videos(batch.batch, "process")
)
app.command(cls=PanelledCommand, epilog=scan.EXAMPLES)(reads_videos(scan.scan))
app.command(cls=PanelledCommand, epilog=serve.EXAMPLES)(serve.serve)
app.command(cls=PanelledCommand, epilog=stress.EXAMPLES)(reads_videos(stress.stress))
app.command(cls=PanelledCommand, epilog=watch.EXAMPLES)(watch.watch)
app.command(cls=PanelledCommand, epilog=compare.EXAMPLES)(reads_videos(compare.compare))
app.command(cls=PanelledCommand, epilog=combine.EXAMPLES)(combine.combine)
app.command(cls=PanelledCommand, epilog=apply.EXAMPLES)(apply.apply)
app.command(cls=PanelledCommand, epilog=models.EXAMPLES)(models.models)
app.command(cls=PanelledCommand, epilog=get.EXAMPLES)(get.get)
app.command(cls=PanelledCommand, epilog=convert.EXAMPLES)(convert.convert)
app.command(cls=PanelledCommand, epilog=export.EXAMPLES)(export.export)
app.command(cls=PanelledCommand, epilog=lean.EXAMPLES)(reads_videos(lean.lean))
app.command(cls=PanelledCommand, epilog=verify.EXAMPLES)(verify.verify)
app.command(cls=PanelledCommand, epilog=doctor.EXAMPLES)(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : list of str or None, default=None
        None takes those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    arguments, debug = taking_debug(arguments)
    command = next((word for word in arguments if not word.startswith("-")), None)
    options = options_of(typer.main.get_command(app), command)
    warnings.showwarning = _warn_once(options)
    write_what_can_be_written(sys.stdout, sys.stderr)
    stop_on_signals()
    try:
        with watching_outputs():
            code = app(args=arguments, standalone_mode=False)
        if code == STOPPED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
    except _UsageError as error:
        error.message = printable_lines(error.message)
        error.show()
        code = FATAL
    except (typer.Abort, KeyboardInterrupt):
        code = _stopped(command, arguments)
    except Exception as error:
        if was_stopped():
            sys.exit(_stopped(command, arguments))
        typer.echo(printable_lines(explain(error, options, debug)), err=True)
        code = FATAL
    sys.exit(code or DONE)


def _stopped(command, arguments):
    say_no_more()
    typer.echo(what_is_kept(command, arguments), err=True)
    return STOPPED


def _warn_once(options: Mapping[str, str]) -> Callable[..., None]:
    """Return what shows a warning: as a note, the same one only once."""
    seen = set()

    def show(message, category, filename, lineno, file=None, line=None):
        if str(message) not in seen:
            seen.add(str(message))
            said = printable_lines(in_options(str(message), options))
            typer.echo(f"note: {said}", err=True)

    return show
