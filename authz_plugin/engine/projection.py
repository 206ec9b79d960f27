"""The part of an input document that a policy can read, as the key of a remembered decision.

``Dependencies`` says what a policy can read; ``dependencies.py`` works it out from the compiled
policy. ``Projection`` copies that part of a document: two documents with equal projections get the
same decision, because whatever else differs is read by no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

TIME: Final = "time"
"""The document's field that no projection has. Only decisions that call themselves ``repeatable``
are remembered: those do not depend on it."""


class Reads(NamedTuple):
    """What is read of a value and of what it contains.

    Of every value that a policy looks at, even if only to find something inside, these count as
    read: that it is there, whether it is an object or an array, and all of it if it is neither.

    ``whole``: everything. ``keys``: the keys of an object or the length of an array. ``names``:
    what is read of an object's named values; they may be missing. ``each``: what is read of each
    value of an object or array; its keys or its length are then read too.
    """

    whole: bool = False
    keys: bool = False
    names: Mapping[str, Reads] = {}
    each: Reads | None = None

    def to_json(self) -> Any:
        """``true`` for everything, else an object with the fields that say something."""
        if self.whole:
            return True
        found: dict[str, Any] = {}
        if self.keys:
            found["keys"] = True
        if self.names:
            found["names"] = {name: reads.to_json() for name, reads in sorted(self.names.items())}
        if self.each is not None:
            found["each"] = self.each.to_json()
        return found

    @classmethod
    def from_json(cls, value: object) -> Reads:
        """The inverse of ``to_json``; raises ``ValueError`` for anything else."""
        if value is True:
            return WHOLE
        fields = value if isinstance(value, dict) else {"": value}
        keys, names = fields.get("keys", False), fields.get("names", {})
        known = fields.keys() <= {"keys", "names", "each"}
        if not (known and isinstance(keys, bool) and isinstance(names, dict)):
            raise ValueError("not a description of what is read")
        each = cls.from_json(fields["each"]) if "each" in fields else None
        return cls(
            keys=keys or each is not None,
            names={name: cls.from_json(reads) for name, reads in names.items()},
            each=each,
        )

    def and_also(self, other: Reads | None) -> Reads:
        """What is read if this and ``other`` are read of the same value."""
        if other is None:
            return self
        if self.whole or other.whole:
            return WHOLE
        names = dict(self.names)
        for name, reads in other.names.items():
            names[name] = reads.and_also(names.get(name))
        each = other.each if self.each is None else self.each.and_also(other.each)
        return Reads(keys=self.keys or other.keys, names=names, each=each)


WHOLE: Final = Reads(whole=True)


class Dependencies(NamedTuple):
    """What the decisions of a policy depend on, apart from the policy and its data.

    ``reads`` is what the policy reads of the input document, ``of_operation`` what it reads if
    ``input.operation.id`` is one of the keys. ``timeless`` names the
    operator's own rule packages that certainly do not read ``input.time``. ``varying`` names the
    builtin functions that the policy may call and that are not known to give equal results for
    equal arguments (``time.now_ns``): with any of these, no decision may be remembered.
    """

    reads: Reads
    of_operation: Mapping[str, Reads]
    timeless: tuple[str, ...]
    varying: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "reads": self.reads.to_json(),
            "of_operation": {
                name: reads.to_json() for name, reads in sorted(self.of_operation.items())
            },
            "timeless": list(self.timeless),
            "varying": list(self.varying),
        }

    @classmethod
    def from_json(cls, value: object) -> Dependencies:
        """The inverse of ``to_json``. Anything else is ``UNKNOWN``, so that nothing is remembered
        under a description that is not understood."""
        if not isinstance(value, dict) or value.keys() != _FIELDS:
            return UNKNOWN
        of_operation, timeless, varying = (
            value[name] for name in ("of_operation", "timeless", "varying")
        )
        known = isinstance(of_operation, dict) and isinstance(timeless, list)
        if not known or not isinstance(varying, list):
            return UNKNOWN
        try:
            return cls(
                Reads.from_json(value["reads"]),
                {name: Reads.from_json(reads) for name, reads in of_operation.items()},
                tuple(map(str, timeless)),
                tuple(map(str, varying)),
            )
        except (ValueError, RecursionError):
            return UNKNOWN


_FIELDS: Final = {"reads", "of_operation", "timeless", "varying"}

UNKNOWN: Final = Dependencies(WHOLE, {}, timeless=(), varying=("unknown",))
"""Of a policy about which nothing is known."""

_Copy = Callable[[Any], Any]
"""Returns the part of a value that is read."""


class Projection:
    """Copies what a policy reads of a document, without its time, as JSON.

    What is read whole is not copied before it is written, and what is not read is not looked at.
    The projection of a projection is the same.
    """

    __slots__ = ("_copy", "_of_operation")

    def __init__(self, dependencies: Dependencies) -> None:
        self._copy = _copy_of(_as_key(dependencies.reads))
        self._of_operation = {
            name: _copy_of(_as_key(reads)) for name, reads in dependencies.of_operation.items()
        }

    def __call__(self, document: Mapping[str, Any]) -> bytes:
        """The projection of a document; raises ``TypeError`` for values that are not JSON."""
        try:
            copy = self._of_operation[document["operation"]["id"]]
        except (KeyError, TypeError):
            copy = self._copy
        timeless = {**document}
        timeless.pop(TIME, None)
        return orjson.dumps(copy(timeless))


def with_time(projected: bytes, document: Mapping[str, Any]) -> bytes:
    """The projection of a document with the document's time: all that the policy can read of it."""
    if TIME not in document:
        return projected
    time = orjson.dumps({TIME: document[TIME]})
    return time if projected == b"{}" else b"%b,%b" % (time[:-1], projected[1:])


def _as_key(reads: Reads) -> Reads:
    """Without the time, and with the operation, so that projections for two are never equal."""
    names = {name: read for name, read in reads.names.items() if name != TIME}
    return reads._replace(names=names).and_also(_OPERATION)


def _copy_of(reads: Reads) -> _Copy:
    """The function that copies what is read of a value.

    A scalar, an empty object and an empty array are their own copies. Apart from these,

    - of an object of which some values are read, the copy has their copies, as far as they are
      there; an array in its place becomes empty,
    - of an object or array of which something is read of every value, it has copies of them all,
    - of an object of which else all keys are read, it has these keys, and null for a value of which
      nothing is read; of an array, it has null for each value,
    - of an object or array of which only that counts, it is empty.

    Equal copies are therefore of values in which everything that is read is equal.
    """
    if reads.whole:
        return _itself
    if reads.each is not None:
        return _copy_of_each(reads, reads.each)
    if reads.keys:
        return _copy_of_keys(reads)
    return _copy_of_names(reads) if reads.names else _kind


def _itself(value: Any) -> Any:
    return value


def _kind(value: Any) -> Any:
    if isinstance(value, dict):
        return {}
    return () if isinstance(value, (list, tuple)) else value


def _copy_of_names(reads: Reads) -> _Copy:
    names = tuple(sorted(reads.names))
    parts = tuple(
        (name, _copy_of(read)) for name, read in sorted(reads.names.items()) if not read.whole
    )
    values_of = _values_of(names)
    every = frozenset(names)

    def copy(value: Any) -> Any:
        if not isinstance(value, dict):
            return _kind(value)
        if not parts:
            if value.keys() == every:
                return value
            return {name: item for name, item in value.items() if name in every}
        try:
            found = dict(zip(names, values_of(value), strict=True))
        except KeyError:
            found = {name: value[name] for name in names if name in value}
        for name, inner in parts:
            item = found.get(name)
            if item:
                found[name] = inner(item)
        return found

    return copy


def _values_of(names: tuple[str, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """The function that returns an object's values, in this order, or raises ``KeyError``."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda value: tuple([value[name] for name in names])


def _copy_of_keys(reads: Reads) -> _Copy:
    parts = tuple((name, _copy_of(read)) for name, read in sorted(reads.names.items()))

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            found = dict.fromkeys(value)
            for name, inner in parts:
                if name in value:
                    found[name] = value[name] and inner(value[name])
            return found
        return [None] * len(value) if isinstance(value, (list, tuple)) else value

    return copy


def _copy_of_each(reads: Reads, each: Reads) -> _Copy:
    inner = _copy_of(_with_small_values(each))
    named = {
        name: _copy_of(_with_small_values(read.and_also(each)))
        for name, read in reads.names.items()
    }

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            if named:
                return {key: named.get(key, inner)(item) for key, item in value.items()}
            return {key: inner(item) for key, item in value.items()}
        return [inner(item) for item in value] if isinstance(value, (list, tuple)) else value

    return copy


def _with_small_values(reads: Reads) -> Reads:
    """Of one record of many: also read whole, in place of what it is, what is named in it. It is
    mostly a scalar, and quicker copied than looked at."""
    names = {name: WHOLE if read == _LOOKED_AT else read for name, read in reads.names.items()}
    return reads._replace(names=names)


_LOOKED_AT: Final = Reads()

_OPERATION: Final = Reads(names={"operation": Reads(names={"id": WHOLE})})
