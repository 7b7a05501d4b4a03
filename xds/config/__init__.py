"""Settings of one node (docs/configuration.md)."""

from __future__ import annotations

from xds.config.load import PREFIX, ConfigurationError, Settings, load
from xds.config.model import DEFAULT_PORT, Client, Defaults
from xds.config.types import MAX_PORT, DatabaseURL, SecretURL, StoreURL, checked, hide, zone

__all__ = [
    "DEFAULT_PORT",
    "MAX_PORT",
    "PREFIX",
    "Client",
    "ConfigurationError",
    "DatabaseURL",
    "Defaults",
    "SecretURL",
    "Settings",
    "StoreURL",
    "checked",
    "hide",
    "load",
    "zone",
]
