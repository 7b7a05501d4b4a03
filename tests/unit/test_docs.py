"""Generated pages are current."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_stored_queries_is_current():
    assert (ROOT / "docs" / "queries.md").read_text(encoding="utf-8") == tool("queries_page").page()
