"""Who may say what a uniqueId means: claims on the repository's table.

claim      pending, or join an equal document that is already there
confirm    registered
withdraw   the submission was refused: remove what nobody else relies on

The first two are given the engine: on PostgreSQL each is as a rule one statement that is a transaction by itself, so
one round trip.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, select, update

from repository import statements
from repository.models import State, document
from xds import database
from xds.database import AnyConnection

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


def find(connection: AnyConnection, unique_ids: list[str]) -> dict[str, Document]:
    """The documents of these uniqueIds, as far as they are known."""
    return _by_unique_id(statements.find(connection, unique_ids))


def _by_unique_id(rows: Iterable[Any]) -> dict[str, Document]:
    return {row[0]: _document(row) for row in rows}


def _document(row: statements.FoundRow) -> Document:
    unique_id, key, hash_, size, mime_type, state, claimed = row
    return Document(unique_id, key, hash_.hex(), size, mime_type, state == State.REGISTERED, claimed)


def claim(engine: Engine, wanted: list[Document]) -> dict[str, Document]:
    """Claim uniqueIds for documents whose octets are durable.

    Returns:
        For each uniqueId the document it means from now on: the wanted one, or another that was first. An equal one
        that is pending is joined: it will not be removed while this submission goes on.

    Raises:
        SQLAlchemyError: some may be claimed, and if the connection was lost may be claimed even later.
    """
    new = database.write_at_once(engine, lambda connection: _insert(connection, wanted))
    others = [doc for doc in wanted if doc.unique_id not in new]
    if not others:
        return new
    return new | database.write(engine, lambda connection: _claim_or_join(connection, others))


def _claim_or_join(connection: Connection, wanted: list[Document]) -> dict[str, Document]:
    new = _insert(connection, wanted)
    others = [doc for doc in wanted if doc.unique_id not in new]
    if not others:
        return new
    meant = find_for_update(connection, [doc.unique_id for doc in others])
    joined = [value for doc in others if (value := doc.unique_id) in meant and same_octets(doc, meant[value])]
    if joined:
        pending = and_(_doc.unique_id.in_(joined), _doc.state == State.PENDING)
        values = {"holders": _doc.holders + 1, "claimed": int(time.time())}
        connection.execute(update(document).where(pending).values(values))
    withdrawn = [doc for doc in others if doc.unique_id not in meant]  # between the two statements
    return new | meant | (_claim_or_join(connection, withdrawn) if withdrawn else {})


def _insert(connection: AnyConnection, wanted: list[Document]) -> dict[str, Document]:
    """Insert what nobody has claimed yet, in one order, so that no two submissions wait for each other."""
    rows = sorted((doc.unique_id, doc.key, bytes.fromhex(doc.hash), doc.size, doc.mime_type) for doc in wanted)
    inserted = statements.insert(connection, rows, int(time.time()))
    return {doc.unique_id: doc for doc in wanted if doc.unique_id in inserted}


def find_for_update(connection: Connection, unique_ids: list[str]) -> dict[str, Document]:
    """As `find`, locking the rows in one order, so that no two submissions wait for each other."""
    query = select(*_COLUMNS).where(_doc.unique_id.in_(unique_ids)).order_by(_doc.unique_id).with_for_update()
    return _by_unique_id(connection.execute(query))


def same_octets(one: Document, other: Document) -> bool:
    """Tell whether two documents are the same content."""
    return one.hash == other.hash and one.size == other.size


def confirm(engine: Engine, docs: list[Document]) -> set[str]:
    """The registry has accepted a DocumentEntry for each.

    A claim that looked left behind may have been discarded meanwhile, or taken over by other octets: what these are
    registered as is not for this submission to say.

    PostgreSQL need not wait for its disk: what a crash undoes is a claim left pending, which is served all the same and
    settled by asking the registry.

    Returns:
        The uniqueIds that still mean these documents, and now for good.
    """
    ids, keys = [doc.unique_id for doc in docs], [doc.key for doc in docs]
    return database.write_at_once(engine, lambda connection: statements.confirm(connection, ids, keys))


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
    values = {
        "key": new.key,
        "hash": bytes.fromhex(new.hash),
        "size": new.size,
        "mime_type": new.mime_type,
        "holders": 1,
        "claimed": int(time.time()),
    }
    return bool(connection.execute(update(document).where(stale).values(values)).rowcount)


def discard(connection: Connection, old: Document) -> bool:
    """Remove a claim that was left behind; as `take_over`, without a successor."""
    stale = and_(_doc.unique_id == old.unique_id, _doc.key == old.key, _doc.claimed == old.claimed)
    return bool(connection.execute(delete(document).where(stale, _doc.state == State.PENDING)).rowcount)


def left_behind(connection: Connection, before: int) -> list[Document]:
    """Pending documents claimed before a time (seconds since 1970): crashed, or of unknown outcome."""
    query = select(*_COLUMNS).where(_doc.state == State.PENDING, _doc.claimed < before)
    return list(_by_unique_id(connection.execute(query)).values())
