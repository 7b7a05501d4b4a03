"""The house keeps its shape: who may import whom, and where each foreign library lives (docs/adr/0007)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("xds", "registry", "repository")

# Each may use what stands before it, and its own kind.
LAYERS = (
    (
        "xds.errors",
        "xds.metadata.vocabulary",
        "xds.transactions",
        "xds.postgres",
        "xds.sqlite",
        "xds.database",
        "xds.migrate",
    ),
    ("xds.metadata",),
    ("xds.messages", "xds.queries", "xds.actors"),
    ("xds.schemas", "xds.ebxml"),
    ("xds.security", "xds.audit"),
    ("xds.soap", "xds.validation", "xds.content"),
    ("xds.client", "xds.worker"),
    ("registry", "repository"),
    ("xds.config", "xds.app", "xds.serve", "xds.commands", "xds.cli", "xds.__main__", "xds.edge"),
)

# Foreign library -> the only places that may import it.
HOMES = {
    "spyne": ("xds.soap.server",),
    "zeep": ("xds.soap.transport",),
    "minio": ("repository.storage.s3",),
    "lxml": ("xds.ebxml", "xds.soap", "xds.security", "xds.audit", "xds.content", "xds.validation", "xds.messages"),
    "sqlalchemy": ("xds.database", "xds.postgres", "xds.sqlite", "xds.migrate", "registry", "repository"),
    "alembic": ("xds.migrate", "registry.migrations", "repository.migrations"),
    "gunicorn": ("xds.serve", "xds.worker"),
    "typer": ("xds.cli", "xds.commands"),
    "pydantic": ("xds.config",),
    "pydantic_settings": ("xds.config",),
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def layer(name: str) -> int | None:
    found = [(len(place), depth) for depth, places in enumerate(LAYERS) for place in places if inside(name, (place,))]
    return max(found)[1] if found else None


MODULES = dict(modules())


@pytest.mark.parametrize("name", MODULES)
def test_a_module_uses_only_what_stands_before_it(name):
    own = layer(name)
    if name in PACKAGES and own is None:
        return
    assert own is not None, f"{name} has no place in LAYERS"
    for imported in imports(MODULES[name]):
        other = layer(imported) if imported in MODULES else None
        assert other is None or other <= own, f"{name} imports {imported}, which stands above it"


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, ("registry", "repository"))])
def test_the_actors_never_import_each_other(name):
    foreign = "repository" if inside(name, ("registry",)) else "registry"
    assert not any(inside(imported, (foreign,)) for imported in imports(MODULES[name]))


@pytest.mark.parametrize("library", HOMES)
def test_a_foreign_library_stays_in_its_place(library):
    users = [name for name, path in MODULES.items() if any(inside(found, (library,)) for found in imports(path))]
    assert [name for name in users if not inside(name, HOMES[library])] == []
