"""What the commands share: where words and data go, how they fail, the settings."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from xds.config import PREFIX

DONE, REFUSED, USAGE = 0, 1, 2


class CommandError(Exception):
    """A command ends without having done its work.

    Attributes:
        exit_code: REFUSED, or USAGE if the person who called it has to change the call.
    """

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Terminal:
    """Data to stdout, words to stderr.

    Attributes:
        verbose: `-v` was given.
    """

    verbose: bool = False

    @property
    def words(self) -> Console:
        """For people; made anew each time, for tests exchange the streams."""
        return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def say(self, text: str) -> None:
        """A line for people."""
        self.words.print(text)

    def data(self, text: str) -> None:
        """A line of data."""
        sys.stdout.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """A JSON document, for machines."""
        self.data(json.dumps(value, ensure_ascii=False, indent=2))


terminal = Terminal()


def _set_verbose(value: bool) -> bool:
    terminal.verbose = terminal.verbose or value
    return value


def variable(section: str, key: str) -> str:
    """The environment variable of a setting, which is that of the option of the same meaning too."""
    return f"{PREFIX}{section}__{key}".upper()


ConfigFile = Annotated[
    Path,
    typer.Option(
        "-c", "--config", metavar="FILE", envvar=f"{PREFIX}CONFIG", help="The settings, as `xds init` writes them."
    ),
]
OptionalConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c", "--config", metavar="FILE", envvar=f"{PREFIX}CONFIG", help="The settings; options come before them."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", callback=_set_verbose, help="Say more: each step, and all of an unexpected error."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout, for machines.")]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 document`, `2 documents`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
