"""The schema of the registry's database, step by step (see `xds.migrate`)."""

from pathlib import Path

from registry.models import tables
from xds.migrate import Schema

SCHEMA = Schema("registry", Path(__file__).parent, tables)
upgrade = SCHEMA.upgrade
current = SCHEMA.current
