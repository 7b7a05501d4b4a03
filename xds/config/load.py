"""Reading the settings: a TOML file and the environment, checked as a whole before anything starts.

A variable `XDS_SECTION__KEY` comes before the file. Every mistake is told at once, each with file (or variable), key,
what was found and what is expected.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from xds.config.model import TLS, Affinity, Client, Defaults, Registry, Repository, Section, Server
from xds.config.types import Expected, directory, hide

PREFIX = "XDS_"


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        problems: one line each: where, what was found, what is expected.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Settings(BaseSettings):
    """All settings of one node."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True
    )
    file: ClassVar[ContextVar[Path | None]] = ContextVar("file", default=None)

    server: Server = Server()
    tls: TLS | None = None
    registry: Registry = Registry()
    repository: Repository = Repository()
    affinity: Affinity = Affinity()
    defaults: Defaults = Defaults()
    client: Client = Client()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file."""
        path = cls.file.get()
        return (env_settings, TomlConfigSettingsSource(settings_cls, path)) if path else (env_settings,)


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file; None for the environment alone.
        environ: to tell in messages where a value came from.

    Raises:
        ConfigurationError: every mistake.
    """
    if path is not None:
        _check_readable(path)
    in_directory = directory.set((path.parent if path else Path()).absolute())
    in_file = Settings.file.set(path)
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(_problems(error, path, environ)) from None
    except SettingsError as error:
        raise ConfigurationError([f"environment: {error}; expected {PREFIX}SECTION__KEY for each setting"]) from None
    finally:
        directory.reset(in_directory)
        Settings.file.reset(in_file)


def _check_readable(path: Path) -> None:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: the file does not exist; `xds init DIR` makes one"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: the file cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # TOMLDecodeError has line and column in its text
        raise ConfigurationError([f"{path}: {error}; expected TOML"]) from None


def _problems(error: ValidationError, path: Path | None, environ: Mapping[str, str]) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    for detail in error.errors(include_url=False):
        key, field = find(tuple(map(str, detail["loc"])))
        if key not in seen:  # one value of a list, or one branch of a union, is enough
            seen.add(key)
            yield f"{_source(key, path, environ)}: {_problem(key, field, detail)}"


def _source(key: tuple[str, ...], path: Path | None, environ: Mapping[str, str]) -> str:
    variable = PREFIX + "__".join(key).upper()
    is_set = variable in {name.upper() for name in environ}
    return f"environment variable {variable}" if is_set or path is None else str(path)


def _problem(key: tuple[str, ...], field: FieldInfo | None, detail: ErrorDetails) -> str:
    name = " ".join((f"[{key[0]}]", *key[1:]))
    if detail["type"] == "extra_forbidden":
        return f"{name}: unknown key; expected {_known(key)}"
    if field is None or (len(key) == 1 and detail["type"] == "value_error"):  # keys that do not fit together
        return f"{name} {detail['msg'].removeprefix('Value error, ')}"
    if detail["type"] == "missing":
        return f"{name}: missing; expected {expected_of(field)}"
    return f"{name} = {hide(repr(detail['input']))}: expected {expected_of(field)}"


def _known(key: tuple[str, ...]) -> str:
    """The sections, or the keys of a section."""
    if len(key) == 1:
        return "one of " + ", ".join(f"[{name}]" for name in Settings.model_fields)
    return "one of " + ", ".join(section_of(Settings.model_fields[key[0]]).model_fields)


def find(loc: tuple[str, ...]) -> tuple[tuple[str, ...], FieldInfo | None]:
    """The key (section, name) that a place in the settings belongs to, and its field if there is one."""
    section = Settings.model_fields.get(loc[0])
    if section is None or len(loc) == 1:
        return loc[:1], section
    return loc[:2], section_of(section).model_fields.get(loc[1])


def section_of(field: FieldInfo) -> type[Section]:
    """The class of a section."""
    annotation = field.annotation
    members = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    return next(member for member in members if isinstance(member, type) and issubclass(member, Section))


def expected_of(field: FieldInfo) -> str:
    """What a setting must look like, in words."""
    return next(_expectations(field), "a section with keys")


def _expectations(field: FieldInfo) -> Iterator[str]:
    """Words of the type; those of `Annotated[...] | None` stand one level deeper."""
    metadata: list[Any] = [*field.metadata]
    for member in get_args(field.annotation):
        metadata += getattr(member, "__metadata__", ())
    yield from (item.text for item in metadata if isinstance(item, Expected))
