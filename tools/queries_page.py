"""Write docs/queries.md from xds/queries/table.py: `python tools/queries_page.py > docs/queries.md`."""

from __future__ import annotations

from collections.abc import Iterator

from xds.queries.table import TABLE, Need, Parameter, StoredQuery

NEEDS = {
    Need.REQUIRED: "required",
    Need.OPTIONAL: "optional",
    Need.ONE_OF: "exactly one of these",
    Need.ANY_OF: "at least one of these",
}


def page() -> str:
    """The whole page."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """Its lines."""
    yield "# Stored queries"
    yield ""
    yield "Generated from `xds/queries/table.py`. Parameters of options that the registry does not have are left out."
    for query in TABLE:
        yield from section(query)


def section(query: StoredQuery) -> Iterator[str]:
    """One query."""
    yield from ("", f"## {query.name} ({query.transaction})", "")
    yield f"`{query.id}`, ITI TF-2 {query.section}. Returns {query.answer.value}."
    yield from ("", "| parameter | needed | values | compared |", "|---|---|---|---|")
    for parameter in query.enabled:
        needed = NEEDS[parameter.need]
        yield f"| `{parameter.name}` | {needed} | {values(parameter)} | {parameter.compare.value} |"


def values(parameter: Parameter) -> str:
    """How many values, and what holds without any."""
    number = "several (or); the slot repeated (and)" if parameter.conjunctive else "several (or)"
    default = f"; without it: {', '.join(parameter.default)}" if parameter.default else ""
    return (number if parameter.many else "one") + default


if __name__ == "__main__":
    print(page(), end="")
