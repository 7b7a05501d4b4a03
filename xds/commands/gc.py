"""`xds gc`: reclaim what crashes and failed clean-ups left in the document store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from repository.gc import GRACE, Report, collect
from xds import app
from xds.commands.common import USAGE, AsJson, CommandError, ConfigFile, Verbose, counted, terminal
from xds.config import Settings, load
from xds.transactions import Actor

_HOUR = timedelta(hours=1)


def gc(
    config: ConfigFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look.")] = False,
    older_than: Annotated[
        float, typer.Option(metavar="HOURS", help="Leave alone what is younger; submissions under way are safe.")
    ] = GRACE / _HOUR,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find documents in the store that no registered entry means, and reclaim their room."""
    report = _collect(load(config), timedelta(hours=older_than), dry_run=dry_run)
    if as_json:
        terminal.json(asdict(report) | {"dryRun": dry_run})
        return
    verb = "found" if dry_run else "reclaimed"
    terminal.say(f"{counted(report.orphans, 'orphan')} {verb} ({report.octets} bytes).")
    if report.confirmed or report.withdrawn:
        removed = "to be removed" if dry_run else "removed"
        terminal.say(
            f"Documents whose submission was broken off: {report.confirmed} are registered and stay, "
            f"{report.withdrawn} are not and {'are ' if dry_run else 'were '}{removed}."
        )
    if report.unfinished:
        terminal.say(f"{counted(report.unfinished, 'unfinished write')} of the store freed.")


def _collect(settings: Settings, grace: timedelta, *, dry_run: bool) -> Report:
    registry = app.remote_registry(settings) if settings.registry.url else app.local_registry(settings)
    engine = app.engine(settings, Actor.REPOSITORY)
    app.SCHEMAS[Actor.REPOSITORY].upgrade(engine)
    if not settings.registry.url:
        app.SCHEMAS[Actor.REGISTRY].upgrade(app.engine(settings, Actor.REGISTRY))
    store = app.store(settings)
    try:
        return collect(engine, store, registry, grace=grace, dry_run=dry_run)
    except ValueError as error:
        raise CommandError(f"--older-than: {error}", USAGE) from None
    finally:
        store.close()
