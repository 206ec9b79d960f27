"""Tell what a configuration opens to attacks, and by which of its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from authz_plugin.rules import Key
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import Judgement, Sandbox

_PROFILE: Final = "closed"
_OF_EVERY_RULE: Final[tuple[Key, ...]] = (("mode",), ("rules",), ("exceptions",))
"""Keys that can open what any rule denies."""
_MISSING: Final = object()


class Configured:
    """The configuration in force, as the policy of a sandbox; ``client`` sends the attacks."""

    def __init__(self, sandbox: Sandbox, client: Client) -> None:
        self._sandbox = sandbox
        self._client = client
        self._closed = sandbox.configured({"profile": _PROFILE})

    @property
    def description(self) -> str:
        """The configuration's name and the revision of the policy with it."""
        bundle = self._sandbox.bundle
        return f"{bundle.profile}, policy {bundle.revision}"

    def judge(self, request: Request) -> Judgement:
        """Decide on a request as the plugin with this configuration must, at this moment."""
        return self._sandbox.judge(authz_message(request, self._client))

    def opening_keys(self, judgement: Judgement) -> tuple[str, ...]:
        """Return the keys, with dots, that open a request which the configuration allows.

        They are searched for each rule that denies the request under profile ``closed``. A key
        opens the request if the rule denies it with that profile's value at the key. If no key is
        so, those are returned that open it without the rule's other keys, or else keys that open it
        only together. The result is empty if ``closed`` allows the request too.
        """
        assert judgement.document is not None
        (closed,) = self._sandbox.decide([judgement.document], self._closed)
        search = _Search(self._sandbox, judgement.document, self._closed)
        rules = sorted({denial.rule for denial in closed.denials})
        return tuple(sorted({".".join(key) for rule in rules for key in search.keys(rule)}))


class _Search:
    """Searches the keys that open one request."""

    def __init__(
        self, sandbox: Sandbox, document: Mapping[str, Any], closed: Mapping[str, Any]
    ) -> None:
        self._sandbox = sandbox
        self._document = document
        self._closed = closed
        self._denying: dict[bytes, frozenset[str]] = {}
        (decision,) = sandbox.decide([document])
        self._role: Key = ("roles", decision.role) if decision.role else ()

    def keys(self, rule: str) -> list[Key]:
        """Return the keys without which a rule would deny the request."""
        known = self._sandbox.rules.get(rule)
        names = () if known is None else known.settings
        keys = dict.fromkeys([*(tuple(name.split(".")) for name in names), *_OF_EVERY_RULE])
        return (
            [found for key in keys for found in self._necessary(rule, self._sandbox.config, key)]
            or list(self._sufficient(rule, keys))
            or list(self._together(rule, [(name,) for name in self._sandbox.config]))
        )

    def _sufficient(self, rule: str, keys: Iterable[Key]) -> Iterator[Key]:
        """Yield the keys, at or below some keys, that open the request without the others."""
        for key in keys:
            config: Mapping[str, Any] = self._sandbox.config
            for other in keys:
                if other != key:
                    config = self._with_closed(config, other)
            if self._is_open(rule, config):
                yield from self._necessary(rule, config, key)

    def _together(self, rule: str, keys: Iterable[Key]) -> Iterator[Key]:
        """Yield keys, at or below some keys, that open the request and of which none can go."""
        config: Mapping[str, Any] = self._sandbox.config
        for key in keys:
            without = self._with_closed(config, key)
            if self._is_open(rule, without):
                config = without
            else:
                yield from self._necessary(rule, config, key)

    def _necessary(self, rule: str, config: Mapping[str, Any], key: Key) -> Iterator[Key]:
        """Yield the keys, at or below a key, without which the rule denies the request."""
        place, closed = self._place(key), _value(self._closed, key)
        value = _value(config, place)
        if value == closed or self._is_open(rule, _with_value(config, place, closed)):
            return
        inner: list[Key] = []
        if isinstance(value, Mapping) and isinstance(closed, Mapping):
            names = dict.fromkeys([*value, *closed])
            inner = [
                found for name in names for found in self._necessary(rule, config, (*key, name))
            ]
        yield from inner or [place]

    def _with_closed(self, config: Mapping[str, Any], key: Key) -> dict[str, Any]:
        """Return a configuration with the value of profile ``closed`` at a key."""
        return _with_value(config, self._place(key), _value(self._closed, key))

    def _place(self, key: Key) -> Key:
        """Return where the configuration has a key for the caller of the request."""
        role = _value(self._sandbox.config, self._role)
        return (*self._role, *key) if key[0] in role else key

    def _is_open(self, rule: str, config: Mapping[str, Any]) -> bool:
        """Return whether a rule does not deny the request under a configuration."""
        name = orjson.dumps(config)
        if name not in self._denying:
            (decision,) = self._sandbox.decide([self._document], config)
            self._denying[name] = frozenset(denial.rule for denial in decision.denials)
        return rule not in self._denying[name]


def _value(config: Any, key: Key) -> Any:
    for name in key:
        if not isinstance(config, Mapping) or name not in config:
            return _MISSING
        config = config[name]
    return config


def _with_value(config: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """Return a configuration with another value at a key, or without the key."""
    name, *rest = key
    if rest:
        return {**config, name: _with_value(config.get(name, {}), tuple(rest), value)}
    if value is _MISSING:
        return {other: kept for other, kept in config.items() if other != name}
    return {**config, name: value}
