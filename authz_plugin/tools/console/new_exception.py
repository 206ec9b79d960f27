"""Adds an exception to the settings file, which is all that the console can write.

An exception is for a denial of a decision, with a reason and an end. The changed file is checked as
at a start of the plugin before it replaces the present one; then the plugin takes it over as on
``systemctl reload``. If anything is wrong, the file stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from authz_plugin.decision import visible
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.settings import Metrics, Settings, read_yaml
from authz_plugin.tools.explanation.candidates import exceptions_for, with_changes
from authz_plugin.tools.explanation.changes import marker_of
from authz_plugin.tools.plugin_metrics import read_metrics
from authz_plugin.tools.sandbox import Sandbox, Subject, open_sandbox

LONGEST_REASON: Final = 300
"""Characters."""

MAX_DENIALS: Final = 20
"""Denials of a request for which exceptions are offered, the first ones."""

_RELOAD_SECONDS: Final = 5.0
"""The time until the metrics tell the new revision."""

_PEER: Final = struct.Struct("3i")
_SERVE: Final = (b"opa-authz", b"serve")

_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Choice:
    """An exception that can be made for a denial.

    ``id`` names it among the choices of a decision. ``entry`` is the exception without reason and
    end. ``subject`` and ``whom`` describe it, ``dangers`` are what it makes possible. ``lifts``
    says that the policy, with it, no longer denies by this rule what was asked.
    """

    id: str
    rule: str
    subject: str
    whom: str
    dangers: Sequence[str]
    lifts: bool
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Added:
    """An exception that was added: the ``revision`` of the policy with it, and whether the plugin
    has it ``in_force``; if that is not known or not so, ``told`` says what to do."""

    revision: str
    in_force: bool
    told: str


def choices(sandbox: Sandbox, subject: Subject) -> list[Choice]:
    """Return the exceptions for the first ``MAX_DENIALS`` denials of a request, each with whether
    it lifts its denial."""
    judgement = sandbox.judge(subject)
    if judgement.document is None:
        return []
    found = []
    given = sandbox.config["exceptions"]
    for denial in judgement.record.denials[:MAX_DENIALS]:
        marker = marker_of(sandbox, judgement, denial, sandbox.config)
        for candidate in exceptions_for(judgement, denial, marker, given):
            (change,) = candidate
            config = sandbox.configured(with_changes(sandbox.settings.policy, candidate))
            left = sandbox.judge(subject, config).record.denials
            entry = {k: v for k, v in change.entry.items() if k not in {"expires", "reason"}}
            found.append(
                Choice(
                    id=hashlib.sha256(json.dumps(entry).encode()).hexdigest()[:16],
                    rule=denial.rule,
                    subject=_subject(entry),
                    whom=_whom(entry["when"]),
                    dangers=sorted({visible(mark.danger) for mark in change.marks if mark.danger}),
                    lifts=denial not in left,
                    entry=entry,
                )
            )
    return found


def _subject(entry: Mapping[str, Any]) -> str:
    value = entry.get("value", entry.get("field"))
    return visible(value if isinstance(value, str) else json.dumps(value))


def _whom(when: Mapping[str, str]) -> str:
    ((kind, name),) = when.items()
    every_tag = kind == "image" and not {":", "@"} & set(name.rpartition("/")[2])
    return visible(f"{kind} {name}{', every tag' if every_tag else ''}")


def add_exception(
    settings: Settings,
    choice: Choice,
    *,
    reason: str,
    expires: str,
    accepts_danger: bool,
    load: Callable[[Path], Settings],
) -> Added:
    """Add an exception to the settings file, and have the plugin take it over.

    ``expires`` is the last day (``2027-01-31``). ``load`` loads the settings from another file
    instead of the one of ``settings``. Raises ``SetupError`` if it cannot be done, and has then
    changed nothing.
    """
    if settings.fleet is not None:
        raise SetupError(
            f"the policy comes from {settings.fleet.url}: add the exception to the settings that "
            "its bundle is built from"
        )
    if settings.file is None:
        raise SetupError("there is no settings file to add it to: name one with --config")
    if not choice.lifts:
        raise SetupError(f"no exception lifts {choice.rule}: the policy denies all the same")
    if choice.dangers and not accepts_danger:
        raise SetupError(f"confirm what it makes possible: {'; '.join(choice.dangers)}")
    entry = {**choice.entry, "expires": _day(expires), "reason": _reason(reason)}
    with _lock:
        revision = _write(settings.file.resolve(), entry, load)
    return _taken_over(settings, revision)


def _reason(reason: str) -> str:
    text = " ".join(reason.split())
    if not text or not text.isprintable() or len(text) > LONGEST_REASON:
        raise SetupError(f"give a reason, of at most {LONGEST_REASON} characters")
    return text


def _day(expires: str) -> str:
    try:
        last = date.fromisoformat(expires)
    except ValueError:
        raise SetupError("give its last day, like 2027-01-31") from None
    if last < datetime.now(UTC).date():
        raise SetupError(f"{last.isoformat()} is over: give a last day to come")
    return last.isoformat()


def _write(file: Path, entry: Mapping[str, Any], load: Callable[[Path], Settings]) -> str:
    """Replace the settings file by one with the exception; return the policy's revision."""
    before, made = None, None
    try:
        before = file.read_bytes()
        made = _temporary(file, _with_entry(before, entry))
        revision = _checked(file, made, entry, load)
        if file.read_bytes() != before:
            raise SetupError(f"{file} was changed meanwhile: look at it, and try again")
        made.replace(file)
        _sync(file.parent)
    except OSError as error:
        raise SetupError(f"{error.filename or file} cannot be written: {error.strerror}") from error
    except (UnicodeDecodeError, YAMLError) as error:
        raise SetupError(f"{file} cannot be read: {type(error).__name__}") from error
    finally:
        if made is not None:
            made.unlink(missing_ok=True)
    return revision


def _with_entry(content: bytes, entry: Mapping[str, Any]) -> str:
    """The content of a settings file with one exception more; every present line is kept.

    The caller checks that it reads as intended: a list in another form than a block is refused
    there.
    """
    lines = content.decode().splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"
    document = YAML(typ="rt").load(content)
    present = document.get("exceptions") if isinstance(document, CommentedMap) else None
    if isinstance(present, CommentedSeq) and present:
        column = present.lc.item(len(present) - 1)[1] - 2
        place = _end_of("exceptions", document, lines)
        return "".join([*lines[:place], *_item(entry, column), *lines[place:]])
    return "".join([*lines, *(["\n"] if lines else []), "exceptions:\n", *_item(entry, 2)])


def _end_of(name: str, document: CommentedMap, lines: Sequence[str]) -> int:
    """The number of lines up to the last one of a key's value, without blanks and comments."""
    own = document.lc.key(name)[0]
    others = [document.lc.key(other)[0] for other in document]
    end = min((line for line in others if line > own), default=len(lines))
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return end


def _item(entry: Mapping[str, Any], column: int) -> list[str]:
    """An entry of a list as lines of YAML, with its dash in a column; values are JSON, in which
    invisible characters are escaped, so that none hides a part of a line."""
    lines = [f"{name}: {_escaped(value)}" for name, value in entry.items()]
    return [f"{' ' * column}{'- ' if i == 0 else '  '}{line}\n" for i, line in enumerate(lines)]


def _escaped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _temporary(file: Path, content: str) -> Path:
    """A new file beside the settings file, with its owner and mode."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as output:
            found = file.stat()
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, found.st_uid, found.st_gid)
            output.write(content)
            output.flush()
            os.fsync(descriptor)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    return made


def _checked(
    file: Path, made: Path, entry: Mapping[str, Any], load: Callable[[Path], Settings]
) -> str:
    """Check the new file as at a start, and that it has the exception and nothing else that is new;
    return the revision of its policy."""
    old = read_yaml(file)[0]
    wanted = {**old, "exceptions": [*(old.get("exceptions") or ()), entry]}
    if not _reads_as(made, wanted):
        raise SetupError(
            f"{file} has its exceptions in a form to which this page adds nothing: add it by hand"
        )
    try:
        settings = load(made)
        with open_sandbox(settings) as sandbox:
            return sandbox.bundle.revision
    except SettingsError as error:
        raise SetupError(str(error).replace(str(made), str(file))) from None


def _reads_as(file: Path, wanted: Mapping[str, Any]) -> bool:
    try:
        return read_yaml(file)[0] == wanted
    except SettingsError:
        return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken_over(settings: Settings, revision: str) -> Added:
    """Have the plugin read the file, and wait until it tells the new revision."""
    by_hand = "run `systemctl reload opa-authz`, and look at its log"
    pid = _supervisor(settings)
    if pid is None:
        return Added(revision, in_force=False, told=f"the plugin was not found: {by_hand}")
    try:
        descriptor = os.pidfd_open(pid)
        try:
            if not _serves(pid):
                raise ProcessLookupError
            signal.pidfd_send_signal(descriptor, signal.SIGHUP)
        finally:
            os.close(descriptor)
    except OSError:
        return Added(revision, in_force=False, told=f"the plugin cannot be told: {by_hand}")
    end = time.monotonic() + _RELOAD_SECONDS
    while time.monotonic() < end:
        if _revision(settings.metrics) == revision:
            return Added(revision, in_force=True, told="")
        time.sleep(0.1)
    return Added(
        revision, in_force=False, told=f"the plugin does not tell that it has it: {by_hand}"
    )


def _revision(metrics: Metrics) -> str:
    with contextlib.suppress(SetupError):
        for sample in read_metrics(metrics):
            if sample.name == "opa_authz_policy_info":
                return sample.labels.get("revision", "")
    return ""


def _supervisor(settings: Settings) -> int | None:
    """The process id of the plugin's supervisor: of those that serve its socket, the outermost."""
    if settings.server.listen is not None:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(settings.server.socket))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    except OSError:
        return None
    pid: int = _PEER.unpack(peer)[0]
    if not _serves(pid):
        return None
    while _serves(parent := _parent(pid)):
        pid = parent
    return pid


def _serves(pid: int) -> bool:
    """Whether a process is an ``opa-authz serve``, not one that has started it, such as sudo."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    names = [word.rpartition(b"/")[2] for word in words]
    program, command = _SERVE
    if pid <= 1 or program not in names or command not in words[names.index(program) :]:
        return False
    before = names[: names.index(program)]
    return not before or (
        before[0].startswith(b"python") and all(name.startswith(b"-") for name in before[1:])
    )


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])
