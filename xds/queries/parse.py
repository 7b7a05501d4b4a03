"""From the slots of an AdhocQuery to a typed Query (ITI TF-2 3.18.4.1.2.3.4, .5, .7; 3.51.4.1.2.3).

Every error a parameter can have is found here, and all of them are raised together. Bounds against abuse, none of
which an honest client meets: a request names at most `MAX_VALUES` values in all, `MAX_PATTERNS` of them in a slot
compared by pattern, and `MAX_SLOTS` slots of one name; a value has at most 256 characters (ebRIM LongName). Beyond:
XDSRegistryError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from xds.errors import Code, Refused, XDSError
from xds.messages import AdhocQuery, ReturnType
from xds.metadata.datatypes import DATATYPES, LONG_NAME
from xds.metadata.model import RegistryObject
from xds.metadata.rules import patient_key
from xds.metadata.text import nfc, shown
from xds.metadata.vocabulary import AvailabilityStatus
from xds.queries.table import BY_ID, Compare, Need, Parameter, StoredQuery
from xds.transactions import ITI_18

MAX_VALUES = 10_000
MAX_PATTERNS = 200
MAX_SLOTS = 32
MAX_ERRORS = 100

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One parameter with its values: every group must hold (AND), by any value of it (OR)."""

    parameter: Parameter
    groups: tuple[Group, ...]

    @property
    def value(self) -> str:
        """The value of a single-valued parameter."""
        return self.groups[0][0]


@dataclass(frozen=True, slots=True)
class Query:
    """A stored query that is right in form.

    Attributes:
        stored: its row.
        return_type: ObjectRef or LeafClass.
        criteria: the parameters given, or with a default, in the order of the row. Values are in Unicode NFC, UUIDs in
            lower case; patientId and uniqueId as sent.
    """

    stored: StoredQuery
    return_type: ReturnType
    criteria: tuple[Criterion, ...]

    def of(self, kind: type[RegistryObject]) -> tuple[Criterion, ...]:
        """The criteria an object of this kind must meet to be selected."""
        return tuple(criterion for criterion in self.criteria if issubclass(kind, criterion.parameter.of))

    def filters(self, kind: type[RegistryObject]) -> tuple[Criterion, ...]:
        """The same without the identifiers that name one object: what applies to objects reached from it."""
        return tuple(criterion for criterion in self.of(kind) if criterion.parameter.need is not Need.ONE_OF)

    def find(self, compare: Compare) -> Criterion | None:
        """The first criterion that compares so, such as the one that names the patient."""
        return next((criterion for criterion in self.criteria if criterion.parameter.compare is compare), None)


def parse(query: AdhocQuery, transaction: str = ITI_18.number) -> Query:
    """Read a stored query.

    Args:
        query: as sent.
        transaction: `ITI-18` or `ITI-51`; each has its own query ids.

    Raises:
        Refused: XDSUnknownStoredQuery, XDSStoredQueryMissingParam, XDSStoredQueryParamNumber, and XDSRegistryError for
            what is malformed; all that were found, at most `MAX_ERRORS`.
    """
    stored = BY_ID.get((transaction, query.id.lower()))
    errors = list(_return_type_errors(query))
    if stored is None:
        raise Refused(
            [XDSError(Code.XDSUnknownStoredQuery, f"{transaction} has no stored query {shown(query.id)}"), *errors]
        )
    reader = _Reader(stored, query.slots)
    criteria = tuple(reader.criteria())
    errors += reader.errors
    if errors:
        raise Refused(errors[:MAX_ERRORS])
    return Query(stored, ReturnType(query.return_type or ""), criteria)


_RETURN_TYPES = frozenset(ReturnType)


def _return_type_errors(query: AdhocQuery) -> Iterator[XDSError]:
    if query.return_type not in _RETURN_TYPES:
        found = "absent" if query.return_type is None else shown(query.return_type)
        yield XDSError(Code.XDSRegistryError, f"returnType is {found}, expected {' or '.join(ReturnType)}")


class _Reader:
    """Reads the slots of one query, collecting errors."""

    def __init__(self, stored: StoredQuery, slots: Iterable[tuple[str, Group]]) -> None:
        self.stored = stored
        self.errors: list[XDSError] = []
        self.slots: dict[str, list[Group]] = {}
        for name, values in slots:
            self.slots.setdefault(name, []).append(values)

    def criteria(self) -> Iterator[Criterion]:
        """Read the parameters in the order of the row, then see what is missing or too much."""
        present: set[str] = set()
        total = 0
        for parameter in self.stored.enabled:
            groups: tuple[Group, ...] = ()
            if parameter.name in self.slots:
                groups, faulty = self._groups(parameter)
                total += sum(map(len, groups))
                if groups or faulty:
                    present.add(parameter.name)
            groups = groups or ((parameter.default,) if parameter.default else ())
            if groups:
                yield Criterion(parameter, groups)
        self._check_presence(present)
        if total > MAX_VALUES:
            self._refuse(Code.XDSRegistryError, f"{total} values, at most {MAX_VALUES} are accepted")

    def _groups(self, parameter: Parameter) -> tuple[tuple[Group, ...], bool]:
        """The values of a parameter's slots, and whether something is wrong with them."""
        slots = self.slots[parameter.name]
        before = len(self.errors)
        sent = tuple(tuple(self._tokens(parameter, slot)) for slot in slots[:MAX_SLOTS])
        self._check_number(parameter, sent, len(slots))
        groups = (tuple(dict.fromkeys(self._values(parameter, group))) for group in sent)
        return tuple(group for group in groups if group), len(self.errors) > before

    def _tokens(self, parameter: Parameter, values: Group) -> Iterator[_Token]:
        if not values:
            self._refuse(Code.XDSRegistryError, "the slot has no value", parameter)
        for value in values:
            try:
                yield from tokens(value)
            except ValueError as error:
                self._refuse(Code.XDSRegistryError, f"{shown(value)} {error}", parameter)

    def _check_number(self, parameter: Parameter, groups: tuple[tuple[_Token, ...], ...], slots: int) -> None:
        if slots > 1 and not parameter.conjunctive:
            self._refuse(Code.XDSStoredQueryParamNumber, f"the slot stands {slots} times, expected once", parameter)
        elif slots > MAX_SLOTS:
            self._refuse(
                Code.XDSRegistryError, f"the slot stands {slots} times, at most {MAX_SLOTS} are accepted", parameter
            )
        longest = max(map(len, groups), default=0)
        if longest > 1 and not parameter.many:
            self._refuse(Code.XDSStoredQueryParamNumber, f"{longest} values, expected one", parameter)
        elif longest > MAX_PATTERNS and parameter.compare in {Compare.LIKE, Compare.REFERENCE}:
            self._refuse(Code.XDSRegistryError, f"{longest} values, at most {MAX_PATTERNS} are accepted", parameter)

    def _values(self, parameter: Parameter, group: Iterable[_Token]) -> Iterator[str]:
        for token in group:
            try:
                value = _read(parameter.compare, token)
            except ValueError as error:
                self._refuse(Code.XDSRegistryError, str(error), parameter)
            else:
                if parameter.compare is not Compare.STATUS or value in _STATUSES:
                    yield value

    def _check_presence(self, present: set[str]) -> None:
        for name in self.stored.groups[Need.REQUIRED]:
            if name not in present:
                self._refuse(Code.XDSStoredQueryMissingParam, f"{name} is missing", at=name)
        self._check_group(self.stored.groups[Need.ONE_OF], "one", present, most=1)
        self._check_group(self.stored.groups[Need.ANY_OF], "at least one", present, most=MAX_VALUES)

    def _check_group(self, names: tuple[str, ...], number: str, present: set[str], most: int) -> None:
        given = len(present.intersection(names))
        if names and not given:
            what = f"{number} of {', '.join(names)} must be given"
            self._refuse(Code.XDSStoredQueryMissingParam, what, at=names[0])
        elif given > most:
            what = f"{given} of {', '.join(names)} given, expected {number}"
            self._refuse(Code.XDSStoredQueryParamNumber, what, at=names[0])

    def _refuse(self, code: Code, what: str, parameter: Parameter | None = None, at: str | None = None) -> None:
        where = f"{self.stored.name}: {parameter.name}" if parameter else self.stored.name
        self.errors.append(XDSError(code, f"{where}: {what}", parameter.name if parameter else at))


# Values (ITI TF-2 3.18.4.1.2.3.5)


class _Token(NamedTuple):
    """One value of a parameter: a string without its quotes, or a number."""

    text: str
    quoted: bool


_TOKEN = re.compile(r"\s*(?:'(?P<string>[^']*(?:''[^']*)*)'|(?P<number>[0-9]+))\s*")


def tokens(value: str) -> list[_Token]:
    """Take apart a Value: `'text'`, `20040101`, `('a','b')`; white space around them does not count.

    Raises:
        ValueError: what is wrong, to be put behind the value.
    """
    text = value.strip()
    if not text:
        raise ValueError("is empty, expected 'value' or ('value',...)")
    if not text.startswith("("):
        return [_token(text, 0, len(text))[0]]
    if not text.endswith(")"):
        raise ValueError("lacks the closing parenthesis")
    return list(_members(text, len(text) - 1))


def _members(text: str, end: int) -> Iterator[_Token]:
    position = 0
    while position < end:  # at the parenthesis, then at each comma
        token, position = _token(text, position + 1, end, list_goes_on=True)
        yield token


def _token(text: str, start: int, end: int, *, list_goes_on: bool = False) -> tuple[_Token, int]:
    match = _TOKEN.match(text, start, end)
    if match is None:
        raise ValueError(f"is malformed at character {start + 1}, expected a string in single quotes or a number")
    if match.end() != end and not (list_goes_on and text[match.end()] == ","):
        raise ValueError(
            f"is malformed at character {match.end() + 1}, expected its end" + " or a comma" * list_goes_on
        )
    string = match["string"]
    return (_Token(match["number"], False) if string is None else _Token(string.replace("''", "'"), True)), match.end()


_STATUSES = frozenset(AvailabilityStatus)
_TIMES = frozenset({Compare.FROM, Compare.TO})
# Compared octet by octet, as the Registry holds them
_VERBATIM = frozenset({Compare.PATIENT, Compare.UNIQUE_ID})


def _read(compare: Compare, token: _Token) -> str:
    """Bring a token into the form that is compared.

    Raises:
        ValueError: what was found, what is expected.
    """
    text = token.text if compare in _VERBATIM else nfc(token.text)
    if not text:
        raise ValueError("'' is an empty string")
    if len(text) > LONG_NAME:
        raise ValueError(f"{shown(text)} has {len(text)} characters, at most {LONG_NAME} are allowed")
    if not token.quoted and compare not in _TIMES:
        raise ValueError(f"{text} is a number, expected a string in single quotes")
    return _READERS.get(compare, str)(text)


def _of_type(name: str) -> Callable[[str], str]:
    datatype = DATATYPES[name]

    def read(text: str) -> str:
        if fault := datatype.check(text):
            raise ValueError(fault)
        return datatype.normal(text)

    return read


_uuid = _of_type("UUID")


def _patient(text: str) -> str:
    if fault := DATATYPES["CX"].check(text):
        raise ValueError(fault)
    return patient_key(text)


def _code(text: str) -> str:
    code, _, scheme = text.partition("^^")
    if not (code and scheme):
        raise ValueError(f"{shown(text)} is no code with its scheme; expected 'code^^codingScheme'")
    return text


_READERS: Mapping[Compare, Callable[[str], str]] = {
    Compare.PATIENT: _patient,
    Compare.CODE: _code,
    Compare.CODES: _code,
    Compare.FROM: _of_type("DTM"),
    Compare.TO: _of_type("DTM"),
    Compare.UUID: lambda text: _uuid(text.lower()),
    Compare.ENDS: lambda text: _uuid(text.lower()),
    Compare.OBJECT_TYPE: str.lower,
}
