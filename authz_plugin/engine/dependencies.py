"""What a policy can read of its input document, worked out from its compiled form.

``dependencies_of`` takes the plan of a policy, the intermediate representation that OPA compiles
Rego to (``opa build -t plan``; OPA 1.21.1 ``v1/ir/ir.go`` and ``internal/planner/planner.go``). A
plan is a list of functions, one for each rule, whose statements compute locals from locals. The
analysis runs each statement on what is known of its locals instead of on values: which parts of the
input a local may be, and which constant strings. What a statement finds out about a part of the
input is noted as read.

- ``DotStmt`` and ``ScanStmt`` go from a value into its parts: they read that the part is there, a
  scan or a key that is not constant also all keys.
- Assignments, arguments and results carry parts on without reading them.
- Whatever else is done with a part of the input reads all of it: a comparison, a builtin function,
  use as a key, insertion in a set, array or object, such as the decision. Functions that find out
  less are in ``_BUILTINS``.

Statements that cannot be run at the same time, or not at all, are run all the same, ``NotStmt`` as
any other: only what locals may be matters, not whether a condition holds. Whatever is not
understood, and ``with``, which changes the input, makes the policy depend on everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from authz_plugin.engine.projection import TIME, UNKNOWN, WHOLE, Dependencies, Reads

ENTRYPOINT: Final = "docker/authz/decision"

_RULES: Final = ["docker", "authz", "rules"]
_OWN: Final = "custom_"
"""The beginning of the names of the operator's own packages."""

OPERATION: Final = ("operation", "id")
OPERATIONS: Final = (
    "container.create",
    "exec.create",
    "image.build",
    "service.create",
    "service.update",
)
"""Operations with large bodies that are frequent."""

_Path: TypeAlias = tuple[str | None, ...]
"""The keys that lead from the input document to a part of it. None stands for any key."""

_Constants: TypeAlias = frozenset[str | bool]

_Statement: TypeAlias = Mapping[str, Any]

_ONCE: Final = "AssignVarOnceStmt"

_INPUT: Final = 0
_DATA: Final = 1

_DEEPEST: Final = 64
_MOST_CALLS: Final = 20_000
"""Functions run with different arguments; the shipped policies need some hundred."""


class _UnboundedError(Exception):
    """The policy may read anything."""


class _Value(NamedTuple):
    """What a local may be.

    ``paths`` are the parts of the input that it may be. ``constants`` are the strings and Booleans
    that it may be, or None if it may be anything else too. ``items`` is the same for the values of
    an array, in their order, or of a set, or None if that is not known. ``scalar`` says that it is
    certainly neither object, array nor set.
    """

    paths: frozenset[_Path] = frozenset()
    constants: _Constants | None = None
    items: tuple[_Constants | None, ...] | _Constants | None = None
    scalar: bool = False

    def or_(self, other: _Value) -> _Value:
        """What a local may be that may be this or ``other``."""
        if self == other:
            return self
        constants = None
        if self.constants is not None and other.constants is not None:
            constants = self.constants | other.constants
        items = self.items if self.items == other.items else None
        if isinstance(self.items, frozenset) and isinstance(other.items, frozenset):
            items = self.items | other.items
        return _Value(self.paths | other.paths, constants, items, self.scalar and other.scalar)

    def item(self) -> _Value:
        """What a value of this array or set may be, apart from parts of the input."""
        if isinstance(self.items, frozenset):
            return _Value(constants=self.items, scalar=True)
        found: _Constants = frozenset()
        for item in (None,) if self.items is None else self.items:
            if item is None:
                return _ANY
            found |= item
        return _Value(constants=found, scalar=True)

    def may_equal(self, other: _Value) -> bool:
        """False if the two are certainly different."""
        if self.constants is None or other.constants is None:
            return True
        return not self.constants.isdisjoint(other.constants)

    def may_differ(self, other: _Value) -> bool:
        """False if the two are certainly equal."""
        return (
            self.constants is None or len(self.constants) != 1 or self.constants != other.constants
        )


_ANY: Final = _Value()
_SCALAR: Final = _Value(scalar=True)
_ROOT: Final = _Value(frozenset({()}))

_State: TypeAlias = dict[int, _Value]
"""What each local may be at one point of a function; a local that is not there is not assigned."""


def dependencies_of(
    plan: object, entrypoint: str = ENTRYPOINT, operations: Iterable[str] = OPERATIONS
) -> Dependencies:
    """What the decisions of a policy depend on.

    ``plan`` is the content of ``plan.json`` in the bundle that ``opa build -t plan`` writes for
    the entry point. For each of ``operations``, ids as in ``input.operation.id``, what is read is
    worked out apart: rules for other operations do not count. A plan that is not understood gives
    dependencies on everything.
    """
    try:
        varying = _Analysis(plan, {}).varying()
    except (_UnboundedError, *_MALFORMED):
        return UNKNOWN
    try:
        reads = _reads_of(plan, entrypoint, {})
        of_operation = {
            operation: _reads_of(plan, entrypoint, {OPERATION: operation})
            for operation in operations
        }
        timeless = tuple(_timeless(plan))
    except (_UnboundedError, *_MALFORMED):
        return Dependencies(WHOLE, {}, timeless=(), varying=varying)
    return Dependencies(reads, of_operation, timeless, varying)


def _timeless(plan: Any) -> Iterator[str]:
    """The operator's own rule packages whose denials, and what they call, do not read the time.

    A package is run apart from all other rules, on the whole document. The plan must be one that is
    understood. A package whose denials are not found is not among the results.
    """
    for function in plan["funcs"]["funcs"] or ():
        path: list[str] = function.get("path") or []
        if path[1:-2] == _RULES and path[-2].startswith(_OWN) and path[-1] == "denials":
            analysis = _Analysis(plan, {})
            analysis.call(function["name"])
            reads = analysis.reads.frozen()
            if not (reads.whole or reads.keys or TIME in reads.names):
                yield path[-2]


def _reads_of(plan: object, entrypoint: str, known: Mapping[_Path, str]) -> Reads:
    """What is read of documents that have the strings ``known`` at their paths."""
    analysis = _Analysis(plan, known)
    for path in known:
        analysis.reads.at(path).whole = True
    analysis.run(entrypoint)
    return analysis.reads.frozen()


_MALFORMED: Final = (
    AttributeError,
    KeyError,
    IndexError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Noted:
    """The reads that are noted so far of a value and of what it contains."""

    __slots__ = ("each", "keys", "names", "whole")

    def __init__(self) -> None:
        self.whole = False
        self.keys = False
        self.names: dict[str, _Noted] = {}
        self.each: _Noted | None = None

    def at(self, path: _Path) -> _Noted:
        """The place of a part of this value. That the part is looked at is noted."""
        place = self
        for key in path:
            if key is not None:
                place = place.names.setdefault(key, _Noted())
                continue
            place.keys = True
            if place.each is None:
                place.each = _Noted()
            place = place.each
        return place

    def frozen(self) -> Reads:
        if self.whole:
            return WHOLE
        each = None if self.each is None else self.each.frozen()
        if each is not None and each.whole:
            return WHOLE
        names = {name: noted.frozen() for name, noted in self.names.items()}
        return Reads(keys=self.keys, names=names, each=each)


class _Analysis:
    """Runs the functions of a plan on what is known of their arguments."""

    def __init__(self, plan: Any, known: Mapping[_Path, str]) -> None:
        static = plan["static"]
        self._known = known
        self.reads = _Noted()
        self._plans = {one["name"]: one for one in plan["plans"]["plans"]}
        self._functions = {one["name"]: one for one in plan["funcs"]["funcs"] or ()}
        self._strings = [one["value"] for one in static.get("strings") or ()]
        self._builtins = [one["name"] for one in static.get("builtin_funcs") or ()]
        self._results: dict[tuple[str, tuple[_Value, ...]], _Value | None] = {}
        self._running: set[tuple[str, tuple[_Value, ...]]] = set()

    def varying(self) -> tuple[str, ...]:
        """The builtin functions that may give different results for equal arguments."""
        called = {
            statement["func"]
            for holder in (*self._plans.values(), *self._functions.values())
            for kind, statement in _statements(holder["blocks"])
            if kind == "CallStmt" and statement["func"] not in self._functions
        }
        return tuple(sorted((called | set(self._builtins)) - DETERMINISTIC))

    def run(self, entrypoint: str) -> None:
        """Note everything that the computation of an entry point reads."""
        state = {_INPUT: _ROOT, _DATA: _ANY}
        self._nested(self._plans[entrypoint]["blocks"], state, {}, _Frame(frozenset()))

    def call(self, name: str) -> None:
        """Note everything that a rule reads."""
        self._call(name, (_ROOT, _ANY))

    def _call(self, name: str, arguments: tuple[_Value, ...]) -> _Value | None:
        """What the result of a function may be, or None if it is certainly undefined. Equal calls
        are made once."""
        key = (name, arguments)
        if key in self._results:
            return self._results[key]
        if key in self._running:
            raise _UnboundedError(f"{name} calls itself")
        if len(self._results) >= _MOST_CALLS:
            raise _UnboundedError("the policy has too many calls")
        self._running.add(key)
        function = self._functions[name]
        state = dict(zip(function["params"], arguments, strict=True))
        frame = _Frame(frozenset(_compared(function["blocks"])))
        self._nested(function["blocks"], state, {}, frame)
        self._running.remove(key)
        self._results[key] = frame.result
        return frame.result

    def _nested(
        self,
        blocks: Sequence[Any] | None,
        state: _State,
        written: _State,
        frame: _Frame,
        first: Mapping[int, _Value] = MappingProxyType({}),
    ) -> None:
        """Run blocks, each of which begins with the assignments ``first`` and may end at any of its
        statements.

        ``written`` gets everything that locals are assigned. After a block, a local may be what it
        was before or anything that it was assigned in the block.
        """
        for block in blocks or ():
            inner: _State = dict(first)
            self._block(block, {**state, **first}, inner, frame)
            for local, value in inner.items():
                _join(state, local, value)
                _join(written, local, value)

    def _block(self, block: Any, state: _State, written: _State, frame: _Frame) -> None:
        for one in block["stmts"] or ():
            kind, statement = one["type"], one["stmt"]
            if kind not in _STATEMENTS:
                raise _UnboundedError(f"{kind} is not known")
            if _STATEMENTS[kind](self, statement, _Locals(self, state, written, frame)) is False:
                break

    def string(self, index: int) -> str:
        if index < 0:
            raise _UnboundedError("a string of the plan is missing")
        found = self._strings[index]
        if not isinstance(found, str):
            raise _UnboundedError("a string of the plan is no string")
        return found

    # What is read.

    def look_at(self, value: _Value) -> None:
        """Note that a value is looked at: its kind and, if it is a scalar, its content."""
        for path in value.paths:
            self.reads.at(path)

    def read(self, *values: _Value) -> None:
        """Note that values are read whole."""
        for value in values:
            for path in value.paths:
                self.reads.at(path).whole = True

    def read_keys(self, value: _Value) -> None:
        """Note that the keys of an object, the length of an array, or a scalar is read."""
        for path in value.paths:
            self.reads.at(path).keys = True

    def part(self, source: _Value, key: _Value) -> _Value:
        """What the value under a key of ``source`` may be; notes that it is looked for."""
        self.read(key)
        keys: set[str | None] = set()
        for constant in (None,) if key.constants is None else key.constants:
            keys.add(constant if isinstance(constant, str) else None)
        if None in keys:
            self.read_keys(source)
        paths = frozenset((*path, one) for path in source.paths for one in keys)
        if any(len(path) > _DEEPEST for path in paths):
            raise _UnboundedError("the policy looks too deep")
        found = _Value(paths)
        self.look_at(found)
        if len(paths) == 1:
            (path,) = paths
            if path in self._known:
                return _Value(paths, frozenset({self._known[path]}), scalar=True)
        return found

    def compare(self, a: _Value, b: _Value) -> None:
        """Note what a comparison reads: with a scalar, nothing of what an object or array holds."""
        (self.look_at if b.scalar else self.read)(a)
        (self.look_at if a.scalar else self.read)(b)

    # Statements. Each gets its fields, as in ``v1/ir/ir.go``, and the locals. It returns False if
    # the block certainly ends here: the statement is undefined, or jumps to the end of a block.

    def do_nothing(self, _: _Statement, __: _Locals) -> None:
        """A statement whose outcome follows from what other statements have read."""

    def do_look_at_source(self, statement: _Statement, locals_: _Locals) -> None:
        self.look_at(locals_.operand(statement["source"]))

    def do_make_scalar(self, statement: _Statement, locals_: _Locals) -> None:
        locals_[statement["target"]] = _SCALAR

    def do_make_array(self, statement: _Statement, locals_: _Locals) -> None:
        locals_[statement["target"]] = _Value(items=())

    def do_make_set(self, statement: _Statement, locals_: _Locals) -> None:
        locals_[statement["target"]] = _Value(items=frozenset())

    def do_make_object(self, statement: _Statement, locals_: _Locals) -> None:
        locals_[statement["target"]] = _ANY

    def do_assign(self, statement: _Statement, locals_: _Locals) -> None:
        locals_[statement["target"]] = locals_.operand(statement["source"])

    def do_assign_once(self, statement: _Statement, locals_: _Locals) -> None:
        """A second assignment must assign the same, or the evaluation ends with an error."""
        value = locals_.operand(statement["source"])
        if statement["target"] in locals_.frame.compared:
            self.read(value)
        locals_[statement["target"]] = value

    def do_reset(self, statement: _Statement, locals_: _Locals) -> None:
        locals_.forget(statement["target"])

    def do_dot(self, statement: _Statement, locals_: _Locals) -> None:
        source, key = locals_.operand(statement["source"]), locals_.operand(statement["key"])
        locals_[statement["target"]] = self.part(source, key)

    def do_scan(self, statement: _Statement, locals_: _Locals) -> None:
        source = locals_[statement["source"]]
        self.read_keys(source)
        value = _Value(frozenset((*path, None) for path in source.paths))
        self.look_at(value)
        if not source.paths:
            value = source.item()
        found = {statement["key"]: _ANY, statement["value"]: value}
        before: _State | None = None
        while before != locals_.state:
            before = dict(locals_.state)
            self._nested([statement["block"]], locals_.state, locals_.written, locals_.frame, found)

    def do_len(self, statement: _Statement, locals_: _Locals) -> None:
        self.read_keys(locals_.operand(statement["source"]))
        locals_[statement["target"]] = _SCALAR

    def do_equal(self, statement: _Statement, locals_: _Locals) -> bool:
        a, b = locals_.operand(statement["a"]), locals_.operand(statement["b"])
        self.compare(a, b)
        return a.may_equal(b)

    def do_not_equal(self, statement: _Statement, locals_: _Locals) -> bool:
        a, b = locals_.operand(statement["a"]), locals_.operand(statement["b"])
        self.compare(a, b)
        return a.may_differ(b)

    def do_break(self, _: _Statement, __: _Locals) -> bool:
        return False

    def do_is_defined(self, statement: _Statement, locals_: _Locals) -> bool:
        """Whether a local is defined follows from what has been read before it is assigned."""
        return locals_.get(statement["source"]) is not None

    def do_append(self, statement: _Statement, locals_: _Locals) -> None:
        value = locals_.operand(statement["value"])
        self.read(value)
        items = locals_[statement["array"]].items
        more = (*items, value.constants) if isinstance(items, tuple) else None
        locals_[statement["array"]] = _Value(items=more)

    def do_add(self, statement: _Statement, locals_: _Locals) -> None:
        value = locals_.operand(statement["value"])
        self.read(value)
        items = locals_[statement["set"]].items
        more = items | value.constants if isinstance(items, frozenset) and value.constants else None
        locals_[statement["set"]] = _Value(items=more)

    def do_insert(self, statement: _Statement, locals_: _Locals) -> None:
        self.read(locals_.operand(statement["key"]), locals_.operand(statement["value"]))
        self.read(locals_[statement["object"]])

    def do_merge(self, statement: _Statement, locals_: _Locals) -> None:
        self.read(locals_[statement["a"]], locals_[statement["b"]])
        locals_[statement["target"]] = _ANY

    def do_run_block(self, statement: _Statement, locals_: _Locals) -> None:
        self._nested(statement["blocks"], locals_.state, locals_.written, locals_.frame)

    def do_run_not(self, statement: _Statement, locals_: _Locals) -> None:
        self._nested([statement["block"]], locals_.state, locals_.written, locals_.frame)

    def do_return(self, statement: _Statement, locals_: _Locals) -> None:
        value = locals_.get(statement["source"])
        if value is not None:
            known = locals_.frame.result
            locals_.frame.result = value if known is None else known.or_(value)

    def do_add_result(self, statement: _Statement, locals_: _Locals) -> None:
        self.read(locals_[statement["value"]])

    def do_call(self, statement: _Statement, locals_: _Locals) -> bool:
        name = statement["func"]
        arguments = tuple(map(locals_.operand, statement["args"] or ()))
        result: _Value | None = _ANY
        if name in self._functions:
            result = self._call(name, arguments)
        elif name in _BUILTINS:
            result = _BUILTINS[name](self, *arguments)
        else:
            self.read(*arguments)
        if result is None:
            return False
        locals_[statement["result"]] = result
        return True

    def do_call_any(self, statement: _Statement, locals_: _Locals) -> bool:
        """Call each function whose path the operands may be; others are not there at run time."""
        path = [locals_.operand(operand) for operand in statement["path"]]
        self.read(*path)
        arguments = tuple(locals_[local] for local in statement["args"])
        found = False
        for name, function in self._functions.items():
            place = function.get("path") or ()
            if len(place) != len(path) or not all(
                part.constants is None or key in part.constants
                for key, part in zip(place, path, strict=True)
            ):
                continue
            result = self._call(name, arguments)
            if result is not None:
                locals_[statement["result"]] = result
                found = True
        return found

    def do_give_up(self, _: _Statement, __: _Locals) -> None:
        raise _UnboundedError("the input is changed")

    # Builtin functions that read less than all of their arguments.

    def call_object_get(self, value: _Value, key: _Value, default: _Value) -> _Value:
        """``object.get``; ``key`` may be an array of keys (``v1/topdown/object.go``)."""
        if key.constants is not None:
            return self.part(value, key).or_(default)
        if not isinstance(key.items, tuple):
            self.read(value, key, default)
            return _ANY
        found = value
        self.look_at(value)
        for constants in key.items:
            found = self.part(found, _Value(constants=constants))
        return found.or_(default)

    def call_keys(self, value: _Value) -> _Value:
        """``object.keys`` and ``count``."""
        self.read_keys(value)
        return _ANY

    def call_kind(self, value: _Value) -> _Value:
        """``is_string`` and the like."""
        self.look_at(value)
        return _SCALAR

    def call_compare(self, a: _Value, b: _Value) -> _Value:
        """``neq``."""
        self.compare(a, b)
        return _SCALAR

    def call_member(self, value: _Value, collection: _Value) -> _Value:
        """``in``, without a key (``internal.member_2``)."""
        item = collection.item()
        if item.constants is None:
            self.read(value, collection)
            return _SCALAR
        self.look_at(value)
        known = value.constants
        if known is not None and known <= item.constants:
            return _Value(constants=frozenset({True}), scalar=True)
        if known is not None and known.isdisjoint(item.constants):
            return _Value(constants=frozenset({False}), scalar=True)
        return _SCALAR


_STATEMENTS: Final[dict[str, Callable[[_Analysis, _Statement, _Locals], bool | None]]] = {
    "ArrayAppendStmt": _Analysis.do_append,
    "AssignIntStmt": _Analysis.do_make_scalar,
    "AssignVarOnceStmt": _Analysis.do_assign_once,
    "AssignVarStmt": _Analysis.do_assign,
    "BlockStmt": _Analysis.do_run_block,
    "BreakStmt": _Analysis.do_break,
    "CallDynamicStmt": _Analysis.do_call_any,
    "CallStmt": _Analysis.do_call,
    "DotStmt": _Analysis.do_dot,
    "EqualStmt": _Analysis.do_equal,
    "IsArrayStmt": _Analysis.do_look_at_source,
    "IsDefinedStmt": _Analysis.do_is_defined,
    "IsObjectStmt": _Analysis.do_look_at_source,
    "IsSetStmt": _Analysis.do_look_at_source,
    "IsUndefinedStmt": _Analysis.do_nothing,
    "LenStmt": _Analysis.do_len,
    "MakeArrayStmt": _Analysis.do_make_array,
    "MakeNullStmt": _Analysis.do_make_scalar,
    "MakeNumberIntStmt": _Analysis.do_make_scalar,
    "MakeNumberRefStmt": _Analysis.do_make_scalar,
    "MakeObjectStmt": _Analysis.do_make_object,
    "MakeSetStmt": _Analysis.do_make_set,
    "NopStmt": _Analysis.do_nothing,
    "NotEqualStmt": _Analysis.do_not_equal,
    "NotStmt": _Analysis.do_run_not,
    "ObjectInsertOnceStmt": _Analysis.do_insert,
    "ObjectInsertStmt": _Analysis.do_insert,
    "ObjectMergeStmt": _Analysis.do_merge,
    "ResetLocalStmt": _Analysis.do_reset,
    "ResultSetAddStmt": _Analysis.do_add_result,
    "ReturnLocalStmt": _Analysis.do_return,
    "ScanStmt": _Analysis.do_scan,
    "SetAddStmt": _Analysis.do_add,
    "WithStmt": _Analysis.do_give_up,
}

_BUILTINS: Final[dict[str, Callable[..., _Value]]] = {
    "count": _Analysis.call_keys,
    "internal.member_2": _Analysis.call_member,
    "is_array": _Analysis.call_kind,
    "is_boolean": _Analysis.call_kind,
    "is_null": _Analysis.call_kind,
    "is_number": _Analysis.call_kind,
    "is_object": _Analysis.call_kind,
    "is_set": _Analysis.call_kind,
    "is_string": _Analysis.call_kind,
    "neq": _Analysis.call_compare,
    "object.get": _Analysis.call_object_get,
    "object.keys": _Analysis.call_keys,
    "type_name": _Analysis.call_kind,
}


class _Frame:
    """What is known of one call: its result so far, and the locals whose second assignment is
    compared with the first."""

    __slots__ = ("compared", "result")

    def __init__(self, compared: frozenset[int]) -> None:
        self.compared = compared
        self.result: _Value | None = None


class _Locals:
    """The locals at one point of a function."""

    __slots__ = ("_analysis", "frame", "state", "written")

    def __init__(self, analysis: _Analysis, state: _State, written: _State, frame: _Frame) -> None:
        self._analysis = analysis
        self.state = state
        self.written = written
        self.frame = frame

    def __getitem__(self, local: int) -> _Value:
        if local not in self.state:
            raise _UnboundedError("a local is used that is not assigned")
        return self.state[local]

    def get(self, local: int) -> _Value | None:
        """What a local may be, or None if it is not assigned."""
        return self.state.get(local)

    def __setitem__(self, local: int, value: _Value) -> None:
        self.state[local] = value
        _join(self.written, local, value)

    def forget(self, local: int) -> None:
        self.state.pop(local, None)

    def operand(self, operand: Mapping[str, Any]) -> _Value:
        """What an operand may be: a local, a string or a Boolean (``ir.Operand``)."""
        kind, value = operand["type"], operand["value"]
        if kind == "local":
            return self[value]
        if kind == "string_index":
            return _Value(constants=frozenset({self._analysis.string(value)}), scalar=True)
        if kind == "bool":
            return _Value(constants=frozenset({bool(value)}), scalar=True)
        raise _UnboundedError(f"operand {kind} is not known")


def _join(state: _State, local: int, value: _Value) -> None:
    known = state.get(local)
    state[local] = value if known is None else known.or_(value)


def _inner(statement: Mapping[str, Any]) -> Sequence[Any]:
    """The blocks inside a statement."""
    fields = statement["stmt"]
    return [fields["block"]] if "block" in fields else fields.get("blocks") or ()


def _statements(blocks: Sequence[Any] | None) -> Iterator[tuple[str, _Statement]]:
    """All statements in blocks, those inside others too, in the order of execution."""
    for block in blocks or ():
        for one in block["stmts"] or ():
            yield one["type"], one["stmt"]
            yield from _statements(_inner(one))


def _compared(blocks: Sequence[Any] | None) -> set[int]:
    """The locals that ``AssignVarOnceStmt`` may assign a second time in one call.

    An assignment is certainly the first if it follows, in the same block, a statement after which
    the local is undefined. One assignment besides these may come first of all and in no scan.
    """
    once = {fields["target"] for kind, fields in _statements(blocks) if kind == _ONCE}
    others = {
        fields.get(name)
        for kind, fields in _statements(blocks)
        for name in (("key", "value") if kind == "ScanStmt" else ("target", "result"))
        if kind not in (_ONCE, "ResetLocalStmt")
    }
    if once & others:
        raise _UnboundedError("a local is assigned both once and otherwise")
    found: set[int] = set()
    _look_for_second(blocks, found, set(), scanned=False)
    return found


def _look_for_second(
    blocks: Sequence[Any] | None, found: set[int], assigned: set[int], *, scanned: bool
) -> None:
    """Add to ``found`` what may be assigned again after ``assigned``, which gets what may be."""
    for block in blocks or ():
        undefined: set[int] = set()
        for one in block["stmts"] or ():
            kind, fields, inner = one["type"], one["stmt"], _inner(one)
            if kind == "ResetLocalStmt":
                undefined.add(fields["target"])
            elif kind == "IsUndefinedStmt":
                undefined.add(fields["source"])
            elif kind == _ONCE:
                target = fields["target"]
                if target not in undefined and (scanned or target in assigned):
                    found.add(target)
                undefined.discard(target)
                assigned.add(target)
            _look_for_second(inner, found, assigned, scanned=scanned or kind == "ScanStmt")
            undefined -= {within["target"] for name, within in _statements(inner) if name == _ONCE}


_DETERMINISTIC: Final = """
    abs all and any array.concat array.flatten array.reverse array.slice assign base64.decode
    base64.encode base64.is_valid base64url.decode base64url.encode base64url.encode_no_pad
    bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor cast_array cast_boolean cast_null
    cast_object cast_set cast_string ceil concat contains count crypto.hmac.equal
    crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512 crypto.md5
    crypto.parse_private_keys crypto.sha1 crypto.sha256 crypto.x509.parse_certificate_request
    crypto.x509.parse_certificates crypto.x509.parse_keypair crypto.x509.parse_rsa_private_key
    div endswith eq equal floor format_int glob.match glob.quote_meta graph.reachable
    graph.reachable_paths graphql.is_valid graphql.parse graphql.parse_and_verify
    graphql.parse_query graphql.parse_schema graphql.schema_is_valid gt gte hex.decode
    hex.encode indexof indexof_n internal.member_2 internal.member_3 internal.template_string
    intersection io.jwt.decode io.jwt.verify_eddsa io.jwt.verify_es256 io.jwt.verify_es384
    io.jwt.verify_es512 io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512
    io.jwt.verify_ps256 io.jwt.verify_ps384 io.jwt.verify_ps512 io.jwt.verify_rs256
    io.jwt.verify_rs384 io.jwt.verify_rs512 is_array is_boolean is_null is_number is_object
    is_set is_string json.filter json.is_valid json.marshal json.marshal_with_options
    json.patch json.remove json.unmarshal lower lt lte max min minus mul neq net.cidr_contains
    net.cidr_contains_matches net.cidr_expand net.cidr_intersects net.cidr_is_valid
    net.cidr_merge net.cidr_overlap numbers.range numbers.range_step object.filter object.get
    object.keys object.remove object.subset object.union object.union_n or plus product
    re_match regex.find_all_string_submatch_n regex.find_n regex.globs_match regex.is_valid
    regex.match regex.replace regex.split regex.template_match rego.parse_module rem replace
    round semver.compare semver.is_valid set_diff sort split sprintf startswith
    strings.any_prefix_match strings.any_suffix_match strings.count strings.render_template
    strings.replace_n strings.reverse strings.split_n substring sum time.add_date time.clock
    time.date time.diff time.format time.parse_duration_ns time.parse_ns time.parse_rfc3339_ns
    time.weekday to_number trim trim_left trim_prefix trim_right trim_space trim_suffix
    type_name union units.parse units.parse_bytes upper uri.is_valid uri.parse urlquery.decode
    urlquery.decode_object urlquery.encode urlquery.encode_object uuid.parse walk
    yaml.is_valid yaml.marshal yaml.unmarshal
"""
DETERMINISTIC: Final = frozenset(_DETERMINISTIC.split())
"""The builtin functions that always give equal results for equal arguments: those of OPA 1.21.1
(``opa capabilities --current``) that it does not call nondeterministic, without some that depend on
the time (``crypto.x509.parse_and_verify_certificates``), show something (``print``) or sign."""
