"""The console script `xds`: one sub-command for each thing a person or another program does here.

Data goes to stdout, words to stderr. Exit codes: 0 done; 1 refused by the peer, or something is wrong that is not the call's fault; 2 wrong usage
or settings. An option has an environment variable: the one of the setting it overrides.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from xds.commands import patient
from xds.commands.common import REFUSED, USAGE, CommandError, ConfigFile, Verbose, settings, terminal
from xds.commands.init import init
from xds.commands.serve import serve
from xds.config import ConfigurationError
from xds.errors import Refused, SoapFault
from xds.serve import StartError

app = typer.Typer(
    name="xds",
    help="IHE XDS.b Document Registry and Document Repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(serve)
app.add_typer(patient.commands, name="patient")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; leaves by SystemExit."""
    terminal.verbose = False
    try:
        app(arguments, prog_name="xds")
    except Exception as error:
        code = _explain(error)
        if terminal.verbose:
            traceback.print_exc(file=sys.stderr)
        raise SystemExit(code) from None


def _explain(error: Exception) -> int:
    """Say in words why a command failed.

    Returns:
        The exit code.
    """
    match error:
        case ConfigurationError():
            for problem in error.problems:
                terminal.say(f"xds: {problem}")
            return USAGE
        case CommandError():
            terminal.say(f"xds: {error}")
            return error.exit_code
        case StartError():
            terminal.say(f"xds: {error}")
            return REFUSED
        case Refused():
            for each in error.errors:
                terminal.say(f"xds: {each}")
            return REFUSED
        case SoapFault():
            terminal.say(f"xds: the peer takes this for no valid message: {error}")
            return REFUSED
        case _:
            return _explain_unexpected(error)


def _explain_unexpected(error: Exception) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    terminal.say(f"xds: {text}" + ("" if terminal.verbose else " (-v shows more)"))
    return REFUSED
