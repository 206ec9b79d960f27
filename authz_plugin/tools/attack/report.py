"""Report the results of a campaign as text, JSON or JUnit XML."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree import ElementTree as ET

from authz_plugin.tools.attack.advice import advice, advice_key
from authz_plugin.tools.attack.catalogue import FAMILIES
from authz_plugin.tools.attack.catalogue.scenarios import ROWS, SCENARIOS
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import CatalogueAttack, Family
from authz_plugin.tools.attack.preparation import Origin, Preparation
from authz_plugin.tools.attack.verdict import Outcome, Result, has_effect

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "blocked", "succeeded", "refused", "unclear", "open", "not tried",
)  # fmt: skip

_STOPPED: Final = frozenset[Outcome]({"blocked", "refused"})
_LISTED: Final = frozenset[Outcome]({"succeeded", "unclear"})
_WIDTH: Final = 100
_PROTECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "Privileged container creation": ("scenario.privileged",),
    "Host namespace access (network, PID, IPC)": (
        "scenario.host-network", "scenario.pid-namespace", "hardening.ipc",
    ),
    "Host filesystem mounts": ("scenario.host-filesystem",),
    "Docker socket mounts": ("scenario.docker-socket",),
    "Dangerous capability escalation": ("scenario.capabilities",),
    "Volume and network manipulation": ("scenario.volume", "scenario.network"),
    "Container exec operations": ("scenario.exec",),
    "Malicious image builds": ("scenario.build",),
    "Bypasses by the form of the address": ("path.",),
    "Bypasses by bodies that are hidden": ("hidden.",),
    "Bypasses by JSON that only dockerd reads so": ("json.",),
    "Bind mounts in disguise": ("mounts.",),
}  # fmt: skip
"""The closing lines about what a guard prevents, each with the ids of the attacks that prove it.

An id that ends with a dot stands for a family."""

_OTHER_POLICY: Final = (
    "the configuration denies it, and nothing here did: see that dockerd asks the plugin, and that "
    "the plugin runs with this configuration and policy (opa-authz doctor, opa-authz validate)"
)
_ORIGINS: Final[Mapping[Origin, str]] = {
    "given": "an image that was named",
    "made": "an image made for it",
    "found": "an image of the host",
    "nobody's": "an image that nobody has, so that nothing can be made",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A finished campaign.

    ``endpoint`` is its URL, ``preparation`` tells what the attacks used, ``created_objects`` which
    objects remain. ``configuration`` describes the configuration that the results were compared
    with; it is empty if there was none, for the reason ``uncompared``.
    """

    endpoint: str
    preparation: Preparation
    results: Sequence[Result[CatalogueAttack]]
    created_objects: CreatedObjects
    configuration: str = ""
    uncompared: str = ""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def of(self, family: Family) -> list[Result[CatalogueAttack]]:
        return [result for result in self.results if result.attack.family == family]

    @property
    def succeeded(self) -> list[Result[CatalogueAttack]]:
        return [result for result in self.results if result.outcome == "succeeded"]

    @property
    def opened(self) -> list[Result[CatalogueAttack]]:
        """The attacks that the configuration opens."""
        return [r for r in self.results if self.configuration and r.outcome == "open"]

    @property
    def proven(self) -> bool:
        """Whether a dockerd has answered, no result is unclear, and no object remains."""
        unclear = any(result.outcome == "unclear" for result in self.results)
        return self.preparation.dockerd_seen and not unclear and not self.created_objects.remaining

    @property
    def guards(self) -> list[str]:
        """The guards that have blocked an attack."""
        return sorted({result.guard for result in self.results if result.guard})

    @property
    def prevented(self) -> list[str]:
        """The closing lines whose attacks all failed, at least one of them because of a guard."""
        return [text for text, ids in _PROTECTED.items() if self._is_prevented(ids)]

    def _is_prevented(self, ids: tuple[str, ...]) -> bool:
        outcomes = {
            result.outcome
            for result in self.results
            if result.attack.id in ids or f"{result.attack.family.id}." in ids
        } - {"not tried"}
        return "blocked" in outcomes and outcomes <= _STOPPED

    def to_document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        refusal = self.preparation.container_refusal
        return {
            "version": 1,
            "time": self.time.isoformat(timespec="seconds"),
            "endpoint": self.endpoint,
            "engine": self.preparation.engine,
            "configuration": self.configuration or None,
            "uncompared": self.uncompared or None,
            "guards": self.guards,
            "image": {
                "name": self.preparation.container.image,
                "origin": self.preparation.container.origin,
            },
            "harmless_container_refused": refusal and refusal.text,
            "passed": self.proven and not self.succeeded,
            "scenarios": _counts(self.of(SCENARIOS)),
            "summary": _counts(self.results),
            "prevented": self.prevented,
            "attacks": [_document(self, result) for result in self.results],
            "left": [
                {"kind": object_.kind, "name": object_.name, "reason": reason, "remove": command}
                for object_, reason, command in self.created_objects.remaining
            ],
        }

    def to_junit(self) -> str:
        """Return the report as JUnit XML with one test suite for each family."""
        root = ET.Element("testsuites", name="opa-authz attack")
        for family in FAMILIES:
            results = self.of(family)
            if not results:
                continue
            counted = Counter(result.outcome for result in results)
            counts = {
                "tests": len(results),
                "failures": counted["succeeded"],
                "errors": counted["unclear"],
                "skipped": counted["not tried"] + counted["open"],
            }
            suite = ET.SubElement(root, "testsuite", name=family.title)
            suite.attrib.update({name: str(count) for name, count in counts.items()})
            for result in results:
                _add_case(self, suite, result)
        text: str = ET.tostring(root, encoding="unicode", xml_declaration=True)
        return text


def lines(report: Report, *, verbose: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the lines of the text report, each after its style: ``"good"``, ``"bad"``,
    ``"warning"``, ``"dim"``, ``"head"`` or an empty text.

    Only attacks that succeeded or whose result is unclear have lines of their own, unless
    ``verbose``.
    """
    yield from _heading(report)
    for family in FAMILIES:
        results = report.of(family)
        listed = [
            _line(result, f"{number}. " if family == SCENARIOS else "")
            for number, result in enumerate(results, 1)
            if verbose or result.outcome in _LISTED
        ]
        if listed:
            yield "", ""
            yield "head", f"{family.title} ({len(results)})"
        yield from listed
    yield from _remedies(report)
    yield from _table(report)
    if not verbose:
        yield "dim", "--verbose lists every attack."
    yield from _remaining(report)
    yield from _closing(report)


def remaining_lines(created_objects: CreatedObjects) -> Iterator[str]:
    """Yield the lines that name the remaining objects and the commands that remove them."""
    for object_, reason, command in created_objects.remaining:
        yield f"{object_.kind} {object_.name} could not be removed: {reason}"
        yield f"  remove it with: {command}"


def _heading(report: Report) -> Iterator[tuple[str, str]]:
    preparation = report.preparation
    yield "head", f"Docker API   {report.endpoint} ({preparation.engine})"
    yield "head", f"Refused by   {', '.join(report.guards) or 'nobody'}"
    yield (
        "",
        f"Aimed with   {_ORIGINS[preparation.container.origin]}: {preparation.container.image}",
    )
    if report.configuration:
        yield "head", f"Configured   {report.configuration}"
    if report.uncompared:
        yield "warning", f"Configured   not known: {report.uncompared}"
        yield "warning", "             name the plugin's settings: --config, --profile, --policies"
    if preparation.container_refusal is not None:
        yield "warning", "             a harmless container was refused as well, so what is blocked"
        yield (
            "warning",
            f"             may be blocked for that alone: {preparation.container_refusal.text}",
        )


_MARKS: Final[Mapping[Outcome, tuple[str, str]]] = {
    "blocked": ("good", "✓"),
    "succeeded": ("bad", "✗"),
    "open": ("warning", "i"),
    "refused": ("good", "✓"),
    "unclear": ("warning", "?"),
    "not tried": ("dim", "-"),
}


def _line(result: Result[CatalogueAttack], number: str) -> tuple[str, str]:
    style, mark = _MARKS[result.outcome]
    attack = result.attack
    what = f"{number}{attack.title}"
    if attack.command:
        what += f" ({attack.command})"
    return style, f"  {mark} {what}: {_outcome(result)}"


def _outcome(result: Result[CatalogueAttack]) -> str:
    match result.outcome:
        case "blocked":
            rules = f"  [{', '.join(result.rules)}]" if result.rules else ""
            return f"blocked by {result.guard}{rules}"
        case "succeeded":
            how = "proved" if result.proved else "let through"
            denied = f"; the configuration denies it  [{', '.join(result.denied_by)}]"
            return f"SUCCEEDED, {how}: {result.detail}{denied if result.denied_by else ''}"
        case "open" if result.opened_by:
            return f"open by {', '.join(result.opened_by)}: {result.detail}"
        case "refused":
            return f"the engine does not fall for it: {result.detail}"
    return f"{result.outcome}: {result.detail}"


def _remedies(report: Report) -> Iterator[tuple[str, str]]:
    """Yield impact and remedy of the successes; attacks with the same advice share them."""
    yield from _grouped(report, "succeeded", "What succeeded, and what to do about it", "bad")
    if report.configuration:
        yield from _opened(report)
    else:
        yield from _grouped(report, "open", "Open, often on purpose; not counted", "warning")


def _opened(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the attacks that the configuration opens, grouped by its keys."""
    groups: dict[tuple[str, ...], list[CatalogueAttack]] = {}
    for result in report.opened:
        groups.setdefault(result.opened_by, []).append(result.attack)
    if groups:
        yield "", ""
        yield "head", "Open because the configuration opens it; not counted"
    for keys, attacks in groups.items():
        yield from _ids(attacks, "warning")
        yield "", f"      open by {', '.join(keys) or 'the policy, under profile closed too'}"
        for impact in dict.fromkeys(attack.impact for attack in attacks):
            yield "", f"      means: {impact}"


def _ids(attacks: Sequence[CatalogueAttack], style: str) -> Iterator[tuple[str, str]]:
    ids = ", ".join(attack.id for attack in attacks)
    for text in textwrap.wrap(ids, _WIDTH - 2, break_on_hyphens=False):
        yield style, f"  {text}"


def _grouped(report: Report, outcome: Outcome, title: str, style: str) -> Iterator[tuple[str, str]]:
    groups: dict[Hashable, list[CatalogueAttack]] = {}
    for result in report.results:
        if result.outcome == outcome:
            groups.setdefault(advice_key(result.attack), []).append(result.attack)
    if groups:
        yield "", ""
        yield "head", title
    for attacks in groups.values():
        yield from _ids(attacks, style)
        yield "", f"      means: {attacks[0].impact}"
        yield "", f"      fix:   {_fix(report, attacks)}"


def _fix(report: Report, attacks: Sequence[CatalogueAttack]) -> str:
    if report.configuration and not attacks[0].grpc:
        return _OTHER_POLICY
    return advice(attacks)


def _table(report: Report) -> Iterator[tuple[str, str]]:
    yield "", ""
    width = max(len(family.title) for family in FAMILIES)
    yield "head", f"{'':<{width}}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES)
    for family in FAMILIES:
        counted = Counter(result.outcome for result in report.of(family))
        if counted:
            style = "bad" if counted["succeeded"] else ""
            numbers = "".join(f"{counted[outcome] or '-':>11}" for outcome in OUTCOMES)
            yield style, f"{family.title:<{width}}{numbers}"


def _remaining(report: Report) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(remaining_lines(report.created_objects)):
        if number == 0:
            yield "", ""
        yield "bad", text


def _closing(report: Report) -> Iterator[tuple[str, str]]:
    bar = "=" * 42
    scenarios = _counts(report.of(SCENARIOS))
    others = _counts([r for r in report.results if r.attack.family != SCENARIOS])
    yield "", ""
    for text in (bar, "Attack Scenario Summary", bar):
        yield "head", text
    if scenarios["tested"]:
        yield from _totals("attack scenarios", scenarios)
    if others["tested"]:
        yield "", ""
        yield from _totals("known bypasses", others)
    yield "", ""
    yield from _conclusion(report, complete=scenarios["blocked"] == len(ROWS))


def _totals(what: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    yield "", f"Total {what} tested: {counts['tested']}"
    yield "", f"Attacks blocked: {counts['blocked']}"
    yield "", f"Attacks succeeded: {counts['succeeded']}"
    for outcome, label in (
        ("refused", "The engine does not fall for"),
        ("unclear", "Unclear"),
        ("open", "Open, not counted"),
        ("not tried", "Not tried"),
    ):
        if counts[outcome]:
            yield "", f"{label}: {counts[outcome]}"


def _conclusion(report: Report, *, complete: bool) -> Iterator[tuple[str, str]]:
    if report.succeeded:
        count = len(report.succeeded)
        attacks = f"{count} attack{'s' if count > 1 else ''}"
        yield "bad", "✗ SECURITY VALIDATION FAILED"
        yield "", ""
        yield "bad", f"CRITICAL: {attacks} succeeded. DO NOT deploy to production until fixed."
    elif not report.proven:
        yield "bad", f"✗ NOT PROVEN: nothing succeeded, but {_why_unproven(report)}"
    else:
        yield "good", "✓ SECURITY VALIDATION PASSED"
        yield "", ""
        yield from _praise(report, complete=complete)
    if report.prevented:
        who = ", ".join(report.guards)
        still = "still prevents" if report.succeeded else "is functioning correctly and preventing"
        yield "", f"The guard ({who}) {still}:"
        for text in report.prevented:
            yield "good", f"  - {text}"
    if complete and report.proven and not report.succeeded:
        yield "", ""
        yield "", "Your deployment is protected against common container escape vectors."


def _praise(report: Report, *, complete: bool) -> Iterator[tuple[str, str]]:
    if complete:
        yield "", "All container escape attempts were successfully blocked."
    elif report.opened:
        yield "", "No attack got through that the configuration denies."
    else:
        yield "", "All attacks that were tried were successfully blocked."
    if report.opened:
        count = len(report.opened)
        yield "", f"Open because the configuration opens it: {count}, see above."
    if any(key.split(".")[-1] == "mode" for result in report.opened for key in result.opened_by):
        yield "bad", "The policy is in mode warn, which denies nothing: nobody is held up."


def _why_unproven(report: Report) -> str:
    if not report.preparation.dockerd_seen:
        return "no answer was certainly a Docker daemon's: is there one?"
    if report.created_objects.remaining:
        return "something is left, see above"
    return "not every answer could be read, see what is unclear above"


def _counts(results: Sequence[Result[CatalogueAttack]]) -> dict[str, int]:
    counted = Counter(result.outcome for result in results)
    tested = len(results) - counted["not tried"]
    return {"tested": tested, **{outcome: counted[outcome] for outcome in OUTCOMES}}


def _document(report: Report, result: Result[CatalogueAttack]) -> dict[str, Any]:
    attack = result.attack
    fix = ""
    if has_effect(result) and not result.opened_by:
        fix = _fix(report, [attack]) if result.outcome == "succeeded" else advice([attack])
    return {
        "id": attack.id,
        "family": attack.family.id,
        "what": attack.title,
        "command": attack.command,
        "outcome": result.outcome,
        "proved": result.proved,
        "by": result.guard,
        "rules": list(result.rules),
        "status": result.status,
        "detail": result.detail,
        "means": attack.impact,
        "fix": fix,
        "opened_by": list(result.opened_by),
        "denied_by": list(result.denied_by),
    }


def _add_case(report: Report, suite: ET.Element, result: Result[CatalogueAttack]) -> None:
    attack = result.attack
    case = ET.SubElement(suite, "testcase", classname=attack.family.title, name=attack.title)
    match result.outcome:
        case "succeeded":
            text = f"{_outcome(result)}; {attack.impact}; {_fix(report, [attack])}"
            ET.SubElement(case, "failure", message=text)
        case "unclear":
            ET.SubElement(case, "error", message=result.detail)
        case "not tried" | "open":
            ET.SubElement(case, "skipped", message=_outcome(result))
