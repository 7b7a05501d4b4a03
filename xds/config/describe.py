"""docs/configuration.md, made of the settings' classes: `python -m xds.config.describe > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xds.config.load import Settings, expected_of, section_of

HEAD = """# Configuration

<!-- Made of xds/config/model.py by `python -m xds.config.describe`; a test holds it against the code. -->

`xds init DIR` writes `DIR/xds.toml` with a word on each setting that a new server needs. The file is
[TOML](https://toml.io); sections and keys are those below, and unknown ones are refused. `xds check -c DIR/xds.toml`
shows the effective settings, with passwords hidden, and tries everything they name.

- **Environment.** A variable comes before the file: `XDS_SECTION__KEY`, as in `XDS_SERVER__PORT=9443`. Lists are
  written with commas.
- **Paths** are relative to the directory of the file.
- **Passwords** may stand in the URLs, in the file or the environment. For PostgreSQL, libpq's own ways work too
  (`PGPASSFILE`, `?passfile=FILE` in the URL); for S3, `?credentials=FILE` in the URL (two lines: key, secret), or
  `XDS_S3_ACCESS_KEY` and `XDS_S3_SECRET_KEY`.
- **Zones** by name (`Europe/Vienna`) need the system's time zone data; offsets (`+01:00`) work everywhere.
"""


def describe() -> str:
    """The whole page."""
    sections = (_section(name, field) for name, field in Settings.model_fields.items())
    return "\n".join([HEAD, *sections])


def _section(name: str, field: FieldInfo) -> str:
    section = section_of(field)
    head = f"## [{name}]\n\n{section.__doc__}\n\n| key | expected | default | meaning |\n|---|---|---|---|"
    return "\n".join([head, *map(" | ".join, _rows(section.model_fields))]) + "\n"


def _rows(fields: dict[str, FieldInfo]) -> Iterator[tuple[str, ...]]:
    for key, field in fields.items():
        cells = (f"`{key}`", expected_of(field), _default(field), field.description or "")
        yield tuple(cell for cell in ("| " + cells[0], *cells[1:3], cells[3] + " |"))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is PydanticUndefined or value in (None, ()):
        return ""
    text = value.human_readable() if hasattr(value, "human_readable") else value
    return f"`{str(text).lower() if isinstance(text, bool) else text}`"


if __name__ == "__main__":
    sys.stdout.write(describe())
