"""The controls are complete, and name nothing that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from authz_plugin import policy
from authz_plugin.configuration import complete_profile
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.compliance.configured import Expectation, expectations
from authz_plugin.tools.compliance.controls import REPORTED, TABLED, Control, standard
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.sandbox import open_sandbox
from authz_plugin.tools.validation import runner
from authz_plugin.tools.validation.runner import Validation
from tests.conftest import with_policy
from tests.test_operator_docs import findings

CONTROLS = [
    pytest.param(control, id=f"{name} {control.id}")
    for name in REPORTED
    for control in standard(name).controls
]
CHECKS_WITHOUT_REQUEST = set(
    re.findall(r'_(?:prerequisite|setting)\(\s*"([a-z-]+)"', Path(runner.__file__).read_text())
)
"""The ids of the checks that send no request."""

NAMED_ELSEWHERE = {
    "CIS 2.1, network traffic between containers": ("cis", "2.2", "2.1"),
    "CIS 2.2, logging level": ("cis", "2.3", "2.2"),
    "CIS 2.8, user namespaces": ("cis", "2.9", "2.8"),
    "CIS 2.8, rootless": ("cis", "2.1", ""),
    "CIS 2.13, legacy registry": ("cis", "2.13 of v1.2", ""),
    "CIS 5.1, AppArmor": ("cis", "5.2", "5.1"),
    "CIS 5.1, SELinux": ("cis", "5.3", "5.2"),
    "CIS 5.12, the Docker socket": ("cis", "5.32", "5.31"),
    "CIS 5.25, additional privileges": ("cis", "5.26", "5.25"),
    "OWASP, container breakout": ("owasp", "Container breakout", ""),
    "OWASP, denial of service": ("owasp", "Denial of service", ""),
    "OWASP, poisoned images": ("owasp", "Poisoned images", ""),
    "OWASP, exposed secrets": ("owasp", "Exposed secrets", ""),
    "OWASP, insecure network": ("owasp", "Insecure network", ""),
    "NIST 4.1, image vulnerabilities": ("nist", "4.1.1", "4.1"),
    "NIST 4.3, unbounded network access": ("nist", "4.4.2", "4.3"),
    "NIST 4.4, runtime vulnerabilities": ("nist", "4.4.1", "4.4"),
    "NIST 4.5, insecure runtime configurations": ("nist", "4.4.3", "4.5"),
}
"""What short checklists name, and where it is here."""


def expectations_of(profile: str) -> dict[str, Expectation]:
    return expectations(complete_profile(profile, LocalHostPaths()))


EXPECTED = expectations_of("cis")
RULES = policy.rule_ids()
FINDINGS = findings()


@pytest.mark.parametrize("named", NAMED_ELSEWHERE)
def test_what_short_checklists_name_is_there_under_both_numbers(named: str) -> None:
    name, id_, also = NAMED_ELSEWHERE[named]
    (found,) = [control for control in standard(name).controls if control.id == id_]
    assert found.also == also


def test_the_standards_are_complete() -> None:
    ids = {name: [control.id for control in standard(name).controls] for name in REPORTED}
    assert ids["cis"] == [
        *(f"2.{number}" for number in range(1, 19)),
        "2.13 of v1.2",
        *(f"5.{number}" for number in range(1, 33)),
    ]
    rules = [*range(6), "5a", *range(6, 14)]
    assert ids["owasp"][5:] == [f"#{number}" for number in rules]
    chapters = {1: 5, 2: 3, 3: 5, 4: 5, 5: 5}
    assert ids["nist"] == [
        f"4.{chapter}.{number}"
        for chapter, most in chapters.items()
        for number in range(1, most + 1)
    ]


@pytest.mark.parametrize("name", TABLED)
def test_no_number_is_given_twice(name: str) -> None:
    ids = [control.id for control in standard(name).controls]
    assert len(ids) == len(set(ids))
    assert set(standard(name).profile.split()) <= set(policy.profiles())


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_has_something_that_proves_it_or_a_reason_why_nothing_can(
    control: Control,
) -> None:
    supported = bool(control.checks or control.findings)
    assert supported is not bool(control.outside)
    if control.outside:
        assert not control.rules
        assert not control.partly


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_names_rules_checks_and_findings_that_exist(control: Control) -> None:
    assert set(control.rules) <= RULES
    for pattern in control.checks:
        found = [
            id_
            for id_ in [*EXPECTED, *CHECKS_WITHOUT_REQUEST, "enforcement"]
            if fnmatchcase(id_, pattern)
        ]
        assert found, pattern
    for pattern in control.findings:
        assert [id_ for id_ in FINDINGS if fnmatchcase(id_, pattern)], pattern


@pytest.mark.parametrize("control", CONTROLS)
def test_no_check_counts_twice_for_a_control(control: Control) -> None:
    for id_ in EXPECTED:
        assert sum(fnmatchcase(id_, pattern) for pattern in control.checks) <= 1, id_


@pytest.mark.parametrize("control", CONTROLS)
def test_a_controls_rules_are_those_that_its_checks_try(control: Control) -> None:
    """A check whose denial is none of the rules', or a rule that no check tries, proves nothing."""
    executed = {
        id_: EXPECTED[id_].denied_by(control.rules)
        for id_ in EXPECTED
        if any(fnmatchcase(id_, pattern) for pattern in control.checks)
    }
    if control.rules:
        assert [id_ for id_, rules in executed.items() if not rules] == []
    assert {rule for rules in executed.values() for rule in rules} == set(control.rules)


@pytest.mark.parametrize("profile", policy.profiles())
def test_every_check_that_a_control_names_is_made_under_every_profile(profile: str) -> None:
    made = expectations_of(profile)
    for name in REPORTED:
        for control in standard(name).controls:
            for pattern in set(control.checks) - CHECKS_WITHOUT_REQUEST - {"enforcement"}:
                assert [id_ for id_ in made if fnmatchcase(id_, pattern)], (control.id, pattern)


@pytest.mark.parametrize("profile", ["cis", "devcontainer"])
def test_what_a_configuration_says_is_what_validation_tries(profile: str) -> None:
    with open_sandbox(with_policy(profile=profile)) as sandbox:
        nowhere = Endpoint("unix:///none.sock", unix=Path("/none.sock"))
        validation = Validation(nowhere, sandbox, Client(), progress=lambda *_: None)
        executed = {attempt.id: attempt for _, attempt in validation._attempts()}
        found = expectations(validation.config)
    assert {id_: (one.permitted, one.rules) for id_, one in executed.items()} == {
        id_: (one.allowed, one.rules) for id_, one in found.items()
    }
