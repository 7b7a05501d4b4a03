"""The console script `xds`: one sub-command for each thing a person or another program does here.

Data goes to stdout, words to stderr. Exit codes: 0 done; 1 refused by the peer, or wrong through no fault of the call;
2 wrong usage or settings. An option has an environment variable: that of the setting it comes before, else
`XDS_COMMAND_OPTION`.
"""

from __future__ import annotations

import sys
import traceback

import typer

from repository.storage import StoreError
from xds.actors import PeerUnavailable
from xds.commands import patient
from xds.commands.check import check
from xds.commands.common import REFUSED, USAGE, CommandError, terminal
from xds.commands.demo import demo
from xds.commands.gc import gc
from xds.commands.init import init
from xds.commands.query import query
from xds.commands.retrieve import retrieve
from xds.commands.serve import serve
from xds.commands.submit import submit
from xds.commands.validate import validate
from xds.config import PREFIX, ConfigurationError
from xds.errors import Refused, SoapFault
from xds.migrate import DatabaseError, words
from xds.security.tls import TLSConfigurationError
from xds.serve import StartError

app = typer.Typer(
    name="xds",
    help="IHE XDS.b Document Registry and Document Repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": PREFIX.rstrip("_")},
)
app.command()(init)
app.command()(serve)
app.command()(submit)
app.command()(query)
app.command()(retrieve)
app.command()(check)
app.command()(gc)
app.command()(validate)
app.command()(demo)
app.add_typer(patient.commands, name="patient")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; leaves by SystemExit."""
    terminal.verbose = False
    try:
        app(arguments, prog_name="xds")
    except Exception as error:  # noqa: BLE001 - the last place before the person at the terminal
        raise SystemExit(_explain(error)) from None


def _explain(error: Exception) -> int:
    """Say in words why a command failed.

    Returns:
        The exit code.
    """
    lines = _words(error)
    if lines is None:
        lines = [" ".join(str(error).split()) or type(error).__name__]
        if terminal.verbose:
            traceback.print_exception(error, file=sys.stderr)
        else:
            lines[0] += " (-v shows more)"
    for line in lines:
        terminal.say(f"xds: {line}")
    if isinstance(error, CommandError):
        return error.exit_code
    return USAGE if isinstance(error, ConfigurationError) else REFUSED


def _words(error: Exception) -> list[str] | None:
    """Lines for a person; None if nobody foresaw the error."""
    found: list[str] | None = None
    match error:
        case ConfigurationError():
            found = list(error.problems)
        case Refused():
            found = [str(each) for each in error.errors]
        case CommandError() | StartError() | PeerUnavailable() | TLSConfigurationError():
            found = [str(error)]
        case StoreError():
            found = [f"document store: {error.detail}"]
        case SoapFault():
            found = [f"the peer takes this for no valid message: {error}"]
        case DatabaseError():
            found = [f"database: {words(error)}"]
    return found
