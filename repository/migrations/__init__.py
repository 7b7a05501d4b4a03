"""The schema of the repository's database, step by step (see `xds.migrate`)."""

from pathlib import Path

from repository.models import tables
from xds.migrate import Schema

SCHEMA = Schema("repository", Path(__file__).parent, tables)
upgrade = SCHEMA.upgrade
current = SCHEMA.current
