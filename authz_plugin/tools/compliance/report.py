"""A compliance report: the assessment of every control, and the origin of the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from authz_plugin import __version__, policy
from authz_plugin.errors import SetupError
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.compliance.assessment import STATUSES, Assessment, Assessor, Status
from authz_plugin.tools.compliance.configured import EffectiveConfig
from authz_plugin.tools.compliance.controls import Part, Standard, standard
from authz_plugin.tools.doctor.examination import Examination
from authz_plugin.tools.rule_sources import rule_sources
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.probes import PROBES
from authz_plugin.tools.validation.report import Report

COMMANDS: Final[Mapping[str, str]] = {
    "opa-authz validate": "tries every check of this report again, on the running daemon",
    "opa-authz doctor": "looks at this host again",
    "opa-authz exceptions": "lists what is allowed for a time although a rule denies it",
    "opa-authz explain -- docker run --privileged alpine": (
        "shows for any command what would be decided, by which rule and line"
    ),
    "opa-authz audit verify": "finds recorded decisions that were lost or changed",
    "docker info --format '{{.Plugins.Authorization}}'": "names the plugins that dockerd asks",
}
"""Commands with which an auditor can verify the report, and what each does."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of evidence: when it was collected, and the ``file`` that it was read from.

    ``file`` is empty if it was collected for this report.
    """

    time: datetime
    file: str = ""

    def __str__(self) -> str:
        when = format_time(self.time)
        return f"read from {self.file}, of {when}" if self.file else f"for this report, at {when}"


@dataclass(frozen=True, slots=True)
class Compliance:
    """A compliance report.

    ``mode`` is that of the policy for the caller. ``exceptions`` are those in force, as text, and
    ``roles`` the names of all roles. ``judged`` are the assessments by the name of the standard.
    """

    time: datetime
    validation: Report
    validated: Origin
    examination: Examination
    examined: Origin
    mode: str
    exceptions: Sequence[str]
    roles: Sequence[str]
    judged: Mapping[str, Sequence[Assessment]]

    @property
    def holds(self) -> bool:
        """Whether all evidence of all controls holds."""
        return not any(
            assessment.is_incomplete for one in self.judged.values() for assessment in one
        )

    @property
    def standards(self) -> list[Standard]:
        return [standard(name) for name in self.judged]

    def of(self, name: str, part: Part) -> list[Assessment]:
        """Return the assessments of a part of a standard."""
        ids = {control.id for control in part.controls}
        return [assessment for assessment in self.judged[name] if assessment.control.id in ids]

    def counts(self, name: str) -> dict[Status, int]:
        """Return the number of controls of a standard by status."""
        counted = Counter(assessment.status for assessment in self.judged[name])
        return {status: counted[status] for status in STATUSES}

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield the names and values of the facts that a report begins with."""
        report, examination = self.validation, self.examination
        summary = report.summary()
        yield "Host", examination.host or "unknown"
        yield "Docker API", f"{report.endpoint} ({report.engine})"
        yield "Plugin", f"opa-authz {__version__}"
        yield (
            "Policy",
            f"profile {report.profile}, mode {self.mode}, revision {report.policy_revision}",
        )
        yield "Asked as", report.caller or "a caller whom dockerd cannot name"
        yield "Roles", ", ".join(self.roles) or "none"
        yield "Exceptions", "; ".join(self.exceptions) or "none"
        yield "Report", format_time(self.time)
        passed = f"{summary['passed']} of {summary['run']} checks passed"
        yield "Validation", f"{self.validated}: {passed}, {summary['skipped']} not tried"
        yield "Doctor", f"{self.examined}: {len(examination.findings)} findings"

    def to_document(self) -> dict[str, Any]:
        """Return the report as the JSON object that ``--json`` prints."""
        report, examination = self.validation, self.examination
        return {
            "version": 1,
            "time": format_time(self.time),
            "host": examination.host,
            "endpoint": report.endpoint,
            "engine": report.engine,
            "plugin_version": __version__,
            "profile": report.profile,
            "mode": self.mode,
            "policy_revision": report.policy_revision,
            "caller": report.caller,
            "roles": list(self.roles),
            "exceptions": list(self.exceptions),
            "evidence": {
                "validation": {
                    "time": format_time(self.validated.time),
                    "file": self.validated.file or None,
                    "summary": report.summary(),
                },
                "doctor": {
                    "time": format_time(self.examined.time),
                    "file": self.examined.file or None,
                },
            },
            "holds": self.holds,
            "standards": [self._standard(one) for one in self.standards],
        }

    def _standard(self, one: Standard) -> dict[str, Any]:
        return {
            "name": one.name,
            "title": one.title,
            "summary": self.counts(one.name),
            "controls": [
                {
                    "part": part.title,
                    "id": assessment.control.id,
                    "also": assessment.control.also,
                    "title": assessment.control.title,
                    "status": assessment.status,
                    "because": assessment.because,
                    "note": assessment.control.note,
                    "evidence": [asdict(piece) for piece in assessment.evidence],
                }
                for part in one.parts
                for assessment in self.of(one.name, part)
            ],
        }


def assess(
    sandbox: Sandbox,
    client: Client,
    validation: tuple[Report, str],
    examination: tuple[Examination, str],
    standards: Sequence[str],
) -> Compliance:
    """Assess standards by a validation and an examination.

    Each comes with the name of the file that it was read from, or an empty string. ``sandbox`` has
    the policy in force, and ``client`` is the identity of the validation. Raises ``SetupError`` if
    the results are of another policy revision or another client.
    """
    report, examined = validation[0], examination[0]
    _check_revision("validation", report.policy_revision, sandbox)
    _check_revision("examination", examined.policy_revision, sandbox)
    if report.caller != client.user:
        raise SetupError(
            f"the validation was made as {report.caller or 'nobody'} and this report is made as "
            f"{client.user or 'nobody'}: name the same certificate with --tlscert"
        )
    now = datetime.now(UTC)
    ping = sandbox.judge(authz_message(PROBES["system.ping"], client))
    own = sandbox.config if ping.document is None else sandbox.config_for(ping.document)
    sources = rule_sources(sandbox.find_opa, sandbox.sources)
    settings = {rule: source.rule.settings for rule, source in sources.items()}
    config = EffectiveConfig(sandbox.config, own, settings, now)
    assessor = Assessor(report.results, examined.findings, config)
    return Compliance(
        time=now,
        validation=report,
        validated=Origin(report.time, validation[1]),
        examination=examined,
        examined=Origin(examined.time, examination[1]),
        mode=own["mode"],
        exceptions=[str(one) for one in policy.exceptions(sandbox.config, now) if one.days >= 0],
        roles=list(sandbox.config["roles"]),
        judged={
            name: [assessor.assess(control) for control in standard(name).controls]
            for name in standards
        },
    )


def format_time(time: datetime) -> str:
    """Return a time in RFC 3339, in UTC and with seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_revision(what: str, revision: str, sandbox: Sandbox) -> None:
    if revision != sandbox.bundle.revision:
        raise SetupError(
            f"the {what} is of policy revision {revision or 'none'}, and these settings make "
            f"{sandbox.bundle.revision}: carry it out again, or name the settings that it was made "
            "with"
        )
