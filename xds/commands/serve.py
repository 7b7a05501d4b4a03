"""`xds serve`: the actors as a server."""

from __future__ import annotations

from typing import Annotated

import typer

from xds.app import Choice
from xds.commands.common import ConfigFile, Verbose, terminal
from xds.config import load
from xds.serve import serve as run


def serve(
    config: ConfigFile,
    actor: Annotated[
        Choice, typer.Option(envvar="XDS_ACTOR", help="What to serve; a repository alone needs [registry] url.")
    ] = Choice.ALL,
    workers: Annotated[
        int | None,
        typer.Option(min=1, envvar="XDS_SERVER__WORKERS", help="Processes. [default: by the number of processors]"),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Bring the databases up to date, listen, and serve until SIGTERM or Ctrl-C."""
    chosen = load(config)
    changes: dict[str, object] = {"workers": workers} if workers else {}
    if terminal.verbose:
        changes["log_level"] = "info"
    server = chosen.server.model_copy(update=changes)
    run(chosen.model_copy(update={"server": server}), actor)
