"""docs/conformance.md: every row is shown by a test, every test names a row there is, and the page is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import conformance

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("conformance")  # the tests are collected once


@pytest.fixture(scope="module")
def shown():
    return conformance.collect()


def test_every_row_has_a_test(shown):
    assert conformance.without_test(shown) == []


def test_every_row_that_a_test_names_is_on_the_page(shown):
    assert conformance.unknown(shown) == []


def test_the_page_is_current(shown):
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert page == conformance.page(shown), "run: python -m tools.conformance > docs/conformance.md"
