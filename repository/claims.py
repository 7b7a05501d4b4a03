"""Who may say what a uniqueId means: claims on the repository's table, each in a transaction of its own.

claim      pending, or join an equal document that is already there
confirm    registered
withdraw   the submission was refused: remove what nobody else relies on
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from repository.models import State, document

_doc = document.c


@dataclass(frozen=True, slots=True)
class Document:
    """A document of this repository.

    Attributes:
        unique_id: DocumentEntry.uniqueId.
        key: of the object in the store.
        hash: SHA-1, 40 lower-case hex digits.
        size: octets.
        mime_type: as submitted.
        registered: whether a registry has accepted it; otherwise its registration is under way or its outcome unknown.
        claimed: seconds since 1970.
    """

    unique_id: str
    key: str
    hash: str
    size: int
    mime_type: str
    registered: bool = False
    claimed: int = 0


_COLUMNS = (_doc.unique_id, _doc.key, _doc.hash, _doc.size, _doc.mime_type, _doc.state, _doc.claimed)


def find(connection: Connection, unique_ids: list[str]) -> dict[str, Document]:
    """The documents of these uniqueIds, as far as they are known."""
    rows = connection.execute(select(*_COLUMNS).where(_doc.unique_id.in_(unique_ids)))
    return {row.unique_id: _document(row) for row in rows}


def _document(row: Any) -> Document:
    return Document(
        row.unique_id, row.key, row.hash.hex(), row.size, row.mime_type, row.state == State.REGISTERED, row.claimed
    )


def claim(connection: Connection, wanted: list[Document]) -> dict[str, Document]:
    """Claim uniqueIds for documents whose octets are durable.

    Returns:
        For each uniqueId the document it means from now on: the wanted one, or another that was first. An equal one
        that is pending is joined: it will not be removed while this submission goes on.
    """
    now = int(time.time())
    new = _insert(connection, wanted, now)
    others = [doc for doc in wanted if doc.unique_id not in new]
    if not others:
        return new
    meant = find_for_update(connection, [doc.unique_id for doc in others])
    joined = [value for doc in others if (value := doc.unique_id) in meant and same_octets(doc, meant[value])]
    if joined:
        pending = and_(_doc.unique_id.in_(joined), _doc.state == State.PENDING)
        connection.execute(update(document).where(pending).values(holders=_doc.holders + 1, claimed=now))
    withdrawn = [doc for doc in others if doc.unique_id not in meant]  # between the two statements
    return new | meant | (claim(connection, withdrawn) if withdrawn else {})


def _insert(connection: Connection, wanted: list[Document], now: int) -> dict[str, Document]:
    """Insert what nobody has claimed yet, in one order, so that no two submissions wait for each other."""
    rows = [_row(doc, now) for doc in sorted(wanted, key=attrgetter("unique_id"))]
    inserted = set(connection.scalars(_INSERTS[connection.dialect.name], rows))
    return {doc.unique_id: doc for doc in wanted if doc.unique_id in inserted}


_INSERTS: Mapping[str, ReturningInsert[Any]] = {
    "postgresql": postgresql.insert(document).on_conflict_do_nothing().returning(_doc.unique_id),
    "sqlite": sqlite.insert(document).on_conflict_do_nothing().returning(_doc.unique_id),
}


def find_for_update(connection: Connection, unique_ids: list[str]) -> dict[str, Document]:
    """As `find`, locking the rows in one order, so that no two submissions wait for each other."""
    query = select(*_COLUMNS).where(_doc.unique_id.in_(unique_ids)).order_by(_doc.unique_id).with_for_update()
    return {row.unique_id: _document(row) for row in connection.execute(query)}


def _row(doc: Document, now: int) -> dict[str, object]:
    return {
        "unique_id": doc.unique_id,
        "key": doc.key,
        "hash": bytes.fromhex(doc.hash),
        "size": doc.size,
        "mime_type": doc.mime_type,
        "state": State.PENDING,
        "holders": 1,
        "claimed": now,
    }


def same_octets(one: Document, other: Document) -> bool:
    """Tell whether two documents are the same content."""
    return one.hash == other.hash and one.size == other.size


def confirm(connection: Connection, unique_ids: list[str]) -> None:
    """The registry has accepted a DocumentEntry for each.

    PostgreSQL need not wait for its disk: what a crash undoes is a claim left pending, which is served all the same and
    settled by asking the registry.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_NEED_NOT_LAST)
    connection.execute(_CONFIRM, {"unique_ids": unique_ids})


_NEED_NOT_LAST = text("SET LOCAL synchronous_commit TO OFF")
_CONFIRM = (
    update(document)
    .where(_doc.unique_id.in_(bindparam("unique_ids", expanding=True)), _doc.state == State.PENDING)
    .values(state=State.REGISTERED, holders=0)
)


def withdraw(connection: Connection, docs: list[Document]) -> list[str]:
    """The submission that claimed these was refused.

    Returns:
        Keys of the objects that no uniqueId means any more.
    """
    released: list[str] = []
    for doc in docs:
        mine = and_(_doc.unique_id == doc.unique_id, _doc.key == doc.key, _doc.state == State.PENDING)
        gone = connection.execute(delete(document).where(mine, _doc.holders <= 1))
        if gone.rowcount:
            released.append(doc.key)
        else:
            connection.execute(update(document).where(mine).values(holders=_doc.holders - 1))
    return released


def take_over(connection: Connection, old: Document, new: Document) -> bool:
    """Give a uniqueId whose claim was left behind (and never registered) to another document.

    Returns:
        Whether it was still the old claim.
    """
    stale = and_(
        _doc.unique_id == old.unique_id,
        _doc.key == old.key,
        _doc.state == State.PENDING,
        _doc.claimed == old.claimed,
    )
    values = _row(new, int(time.time()))
    return bool(connection.execute(update(document).where(stale).values(values)).rowcount)


def discard(connection: Connection, old: Document) -> bool:
    """Remove a claim that was left behind; as `take_over`, without a successor."""
    stale = and_(_doc.unique_id == old.unique_id, _doc.key == old.key, _doc.claimed == old.claimed)
    return bool(connection.execute(delete(document).where(stale, _doc.state == State.PENDING)).rowcount)


def left_behind(connection: Connection, before: int) -> list[Document]:
    """Pending documents claimed before a time (seconds since 1970): crashed, or of unknown outcome."""
    rows = connection.execute(select(*_COLUMNS).where(_doc.state == State.PENDING, _doc.claimed < before))
    return [_document(row) for row in rows]


def meant_keys(connection: Connection, keys: list[str]) -> set[str]:
    """Those of the store's keys that a uniqueId means."""
    return set(connection.scalars(select(_doc.key).where(_doc.key.in_(keys))))
