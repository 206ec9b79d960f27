"""The exceptions that this package raises on purpose.

Each message says what is wrong, where, and what the person who can correct it should do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class AuthzError(Exception):
    """The base class; every other exception is a defect."""


class Refused(AuthzError):  # noqa: N818 - a request is refused, nothing went wrong
    """A request that is denied before any policy is asked, because its meaning is not certain.

    ``rule`` is a stable rule id of the ``request.*`` family, ``field`` the part of the request
    that is at fault (``"HostConfig.CapAdd"``, ``"query.force"``), ``message`` what is wrong with
    it and ``hint`` what would be accepted.
    """

    def __init__(self, rule: str, field: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} [{rule} {field}]")
        self.rule = rule
        self.field = field
        self.message = message
        self.hint = hint


class EngineError(AuthzError):
    """The policy engine gave no complete decision: the request is denied.

    ``message`` is what the client is told. ``detail`` is for the operator, because it may name
    files of the host; the text of the exception has both.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(f"{message}: {detail}" if detail else message)
        self.message = message


class SetupError(AuthzError):
    """The plugin cannot start, or cannot reload, until the operator corrects something."""


class SettingsError(SetupError):
    """A setting is wrong.

    ``where`` says who set it (``"/etc/opa-authz/config.yaml:3"``, ``"OPA_AUTHZ_PROFILE"``,
    ``"--socket"``) and ``key`` which setting it is (``"mounts.allow[0].path"``).
    """

    def __init__(self, where: str, key: str, message: str) -> None:
        super().__init__(f"{where}: {key}: {message}" if key else f"{where}: {message}")
        self.where = where
        self.key = key
        self.message = message

    @property
    def faults(self) -> tuple[SettingsError, ...]:
        """The single faults; one, except for ``SeveralSettingsError``."""
        return (self,)


class SeveralSettingsError(SettingsError):
    """Several settings are wrong. ``where``, ``key`` and ``message`` are those of the first fault,
    the text has all."""

    def __init__(self, faults: Sequence[SettingsError]) -> None:
        first = faults[0]
        super().__init__(first.where, first.key, first.message)
        self.args = ("; ".join(map(str, faults)),)
        self._faults = tuple(faults)

    @property
    def faults(self) -> tuple[SettingsError, ...]:
        return self._faults


def raise_faults(faults: Iterable[SettingsError]) -> None:
    """Raise one ``SettingsError`` for all faults, ordered by their places, if there are any."""
    found = {str(fault): fault for error in faults for fault in error.faults}
    ordered = sorted(found.values(), key=_place)
    if ordered:
        raise ordered[0] if len(ordered) == 1 else SeveralSettingsError(ordered)


def _place(fault: SettingsError) -> tuple[str, int]:
    """The file and line of a fault, for sorting; line 0 without a line."""
    file, _, line = fault.where.rpartition(":")
    return (file, int(line)) if line.isdecimal() else (fault.where, 0)


class PolicyError(SetupError):
    """The policies do not compile, or lack something that every decision needs."""


class UnsupportedBuiltinsError(PolicyError):
    """The policy calls builtins that only OPA's server has."""


class EngineSetupError(SetupError):
    """No policy engine can be found, started or reached."""


class EndpointError(SetupError):
    """A Docker endpoint cannot be reached, or does not answer as one."""


def defect(error: Exception) -> str:
    """An unexpected exception as ``KeyError at module:line``. Its message is left out,
    because it may quote the request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    module = trace.tb_frame.f_globals.get("__name__", "unknown")
    return f"{type(error).__name__} at {module}:{trace.tb_lineno}"
