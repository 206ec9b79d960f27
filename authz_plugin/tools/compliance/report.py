"""A compliance report: every control judged, with where the evidence comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from authz_plugin import __version__, policy
from authz_plugin.errors import SetupError
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.compliance.configured import Configured
from authz_plugin.tools.compliance.controls import Part, Standard, standard
from authz_plugin.tools.compliance.judgement import STATUSES, Judge, Judged, Status
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
"""What an auditor can run to see for themselves, and what each shows."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where evidence comes from: a saved ``file``, or, without one, this very report."""

    time: datetime
    file: str = ""

    def __str__(self) -> str:
        when = stamp(self.time)
        return f"read from {self.file}, of {when}" if self.file else f"for this report, at {when}"


@dataclass(frozen=True, slots=True)
class Compliance:
    """What was judged, of which host and policy, as whom, by which evidence. ``exceptions`` are
    those in force, ``roles`` the names of all roles."""

    time: datetime
    validation: Report
    validated: Origin
    examination: Examination
    examined: Origin
    mode: str
    exceptions: Sequence[str]
    roles: Sequence[str]
    judged: Mapping[str, Sequence[Judged]]

    @property
    def holds(self) -> bool:
        """Whether nothing is lacking that this host could have."""
        return not any(judgement.lacks for one in self.judged.values() for judgement in one)

    @property
    def standards(self) -> list[Standard]:
        return [standard(name) for name in self.judged]

    def of(self, name: str, part: Part) -> list[Judged]:
        """The judgements of a part of a standard."""
        ids = {control.id for control in part.controls}
        return [judgement for judgement in self.judged[name] if judgement.control.id in ids]

    def counts(self, name: str) -> dict[Status, int]:
        """How many controls of a standard have each status."""
        counted = Counter(judgement.status for judgement in self.judged[name])
        return {status: counted[status] for status in STATUSES}

    def facts(self) -> Iterator[tuple[str, str]]:
        """What a reader must know before the results, line by line."""
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
        yield "Report", stamp(self.time)
        passed = f"{summary['passed']} of {summary['run']} checks passed"
        yield "Validation", f"{self.validated}: {passed}, {summary['skipped']} not tried"
        yield "Doctor", f"{self.examined}: {len(examination.findings)} findings"

    def to_document(self) -> dict[str, Any]:
        """The report as ``--json`` prints it."""
        report, examination = self.validation, self.examination
        return {
            "version": 1,
            "time": stamp(self.time),
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
                    "time": stamp(self.validated.time),
                    "file": self.validated.file or None,
                    "summary": report.summary(),
                },
                "doctor": {
                    "time": stamp(self.examined.time),
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
                    "id": judgement.control.id,
                    "also": judgement.control.also,
                    "title": judgement.control.title,
                    "status": judgement.status,
                    "because": judgement.because,
                    "note": judgement.control.note,
                    "evidence": [asdict(piece) for piece in judgement.evidence],
                }
                for part in one.parts
                for judgement in self.of(one.name, part)
            ],
        }


def assess(
    sandbox: Sandbox,
    client: Client,
    validation: tuple[Report, str],
    examination: tuple[Examination, str],
    standards: Sequence[str],
) -> Compliance:
    """Judge standards by a validation and an examination, each with the file that it was read from.

    ``sandbox`` is the policy in force and ``client`` whoever the validation was made as. Raises
    ``SetupError`` where these do not belong together.
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
    sources = rule_sources(sandbox.opa, sandbox.sources)
    settings = {rule: source.rule.settings for rule, source in sources.items()}
    configured = Configured(sandbox.config, own, settings, now)
    judge = Judge(report.results, examined.findings, configured)
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
            name: [judge.judge(control) for control in standard(name).controls]
            for name in standards
        },
    )


def stamp(time: datetime) -> str:
    """A moment as reports write it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_revision(what: str, revision: str, sandbox: Sandbox) -> None:
    if revision != sandbox.bundle.revision:
        raise SetupError(
            f"the {what} is of policy revision {revision or 'none'}, and these settings make "
            f"{sandbox.bundle.revision}: carry it out again, or name the settings that it was made "
            "with"
        )
