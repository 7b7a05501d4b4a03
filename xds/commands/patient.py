"""`xds patient`: patients of the affinity domain, by hand until a feed is configured (ITI TF-2 3.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from registry import patients
from xds import app, database
from xds.commands.common import USAGE, AsJson, CommandError, ConfigFile, Verbose, counted, terminal
from xds.commands.metadata import patient
from xds.config import Settings, load
from xds.migrate import Database
from xds.transactions import Actor

commands = typer.Typer(help="Patients that the registry knows.", no_args_is_help=True)
_PAGE = 1000


def open_registry(chosen: Settings) -> Database:
    """The registry's database, brought up to date."""
    engine = app.engine(chosen, Actor.REGISTRY)
    app.SCHEMAS[Actor.REGISTRY].upgrade(engine)
    return engine


def full_ids(values: list[str], chosen: Settings) -> list[str]:
    """Patient ids in the registry's form; a bare number gets [defaults] assigning_authority.

    Raises:
        CommandError: one is no CX, or not of the affinity domain.
    """
    domain = app.domain(chosen)
    try:
        return [patients.check(patient("patient id", value, chosen.defaults), domain) for value in values]
    except ValueError as error:
        raise CommandError(f"patient id: {error}", USAGE) from None


@commands.command()
def add(
    ids: Annotated[list[str], typer.Argument(metavar="'ID^^^&OID&ISO'...", help="patientIds, CX.")],
    config: ConfigFile,
    verbose: Verbose = False,
) -> None:
    """Make patients known to the registry; one that is known already stays as it is."""
    chosen = load(config)
    values = full_ids(ids, chosen)
    engine = open_registry(chosen)
    new = database.write(engine, lambda connection: patients.add(connection, values))
    known = len(set(values)) - len(new)
    terminal.say(f"{counted(len(new), 'patient')} added" + (f", {known} known already" if known else "") + ".")


@commands.command(name="list")
def list_(config: ConfigFile, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show the registry's patients, one a line."""
    found = _pages(open_registry(load(config)))
    if as_json:
        terminal.json([{"patientId": value} for value in found])
    else:
        for value in found:
            terminal.data(value)


def _pages(engine: Database) -> Iterator[str]:
    last = ""
    while page := database.read(engine, lambda connection: patients.active(connection, last, _PAGE)):  # noqa: B023 - read at once
        yield from page
        last = page[-1]
