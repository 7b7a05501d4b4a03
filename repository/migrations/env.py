"""Alembic's entry point, called for `upgrade`."""

from xds.migrate import run

run()
