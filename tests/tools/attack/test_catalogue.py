"""The catalogue says the truth about opa-authz, and asks for nothing that could do harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from ruamel.yaml import YAML

from authz_plugin.dockerd import routes
from authz_plugin.tools.attack.advice import advice
from authz_plugin.tools.attack.catalogue import CATALOGUE, FAMILIES, select
from authz_plugin.tools.attack.catalogue.builders import NOWHERE
from authz_plugin.tools.attack.catalogue.scenarios import SCENARIOS
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import CatalogueAttack, ObjectKind
from authz_plugin.tools.attack.preparation import Preparation
from authz_plugin.tools.attack.rendering import render
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Request
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from authz_plugin.tools.validation.probes import NOTHING
from tests.conftest import with_policy

STRICT: Final = Path(__file__).parents[2] / "real/attacks/strict.yaml"
"""A policy that opens every operation, so that what is denied is denied for what it asks."""

KINDS: Final = get_args(ObjectKind)
UNASKED: Final = {attack.id for attack in CATALOGUE if attack.grpc}


def test_the_ten_scenarios_come_first_in_the_guides_order_and_words() -> None:
    scenarios = [attack for attack in CATALOGUE if attack.family == SCENARIOS]
    assert list(CATALOGUE[:10]) == scenarios
    assert [(attack.title, attack.command) for attack in scenarios] == [
        ("Privileged Container Creation", "docker run --privileged alpine"),
        ("Host Network Namespace Escape", "docker run --network host alpine"),
        ("Host Filesystem Mount", "docker run -v /:/hostfs alpine"),
        (
            "Docker Socket Mount (DinD)",
            "docker run -v /var/run/docker.sock:/var/run/docker.sock alpine",
        ),
        ("Capability Escalation", "docker run --cap-add SYS_ADMIN alpine"),
        ("PID Namespace Escape", "docker run --pid host alpine"),
        ("Volume-Based Data Exfiltration", "docker volume create malicious-volume"),
        ("Network Creation for Lateral Movement", "docker network create attack-network"),
        ("Container Exec Command Injection", "docker exec <container> /bin/sh"),
        ("Malicious Image Build", "docker build -t malicious ."),
    ]


def test_ids_are_unique_and_begin_with_their_family() -> None:
    assert len({attack.id for attack in CATALOGUE}) == len(CATALOGUE)
    for attack in CATALOGUE:
        assert attack.id.startswith(f"{attack.family.id}.")
    assert len({family.id for family in FAMILIES}) == len(FAMILIES)


def test_a_part_is_chosen_by_families_and_ids_and_nothing_else() -> None:
    rows = select(["plugins", "scenario.exec"])
    assert rows[0].id == "scenario.exec"
    assert {attack.family.id for attack in rows} == {"scenario", "plugins"}
    with pytest.raises(KeyError, match="none"):
        select(["plugins", "plugin.none"])


@pytest.fixture(scope="module")
def preparation(tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    """Return one that has sent no request, with a folder that may be mounted."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "link").symlink_to("/etc")
    endpoint = Endpoint("unix:///none", unix=Path("/none"))
    made = Preparation(endpoint, CreatedObjects(endpoint), None, folder)
    made._folder = folder
    made._created_objects._removable = dict.fromkeys(KINDS, True)
    return made


def request_of(attack: CatalogueAttack, preparation: Preparation) -> Request:
    return render(attack.request, preparation.context_for(attack))


HARMLESS: Final = {
    "hidden.escape", "hidden.fragment", "hidden.text", "hidden.types-last", "hidden.untyped",
    "images.buildkit", "images.buildkit-native", "images.load", "images.session",
    "swarm.ca", "swarm.init", "swarm.join", "swarm.secret",
}  # fmt: skip
"""What names nothing that nobody has, and still comes to nothing: a service with no replicas, a
connection that is closed at once, an archive without images, a swarm's request with a fault."""


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
def test_nothing_is_asked_for_that_touches_what_is_not_ours(attack: CatalogueAttack) -> None:
    message = attack.request
    if message.method == "GET" or attack.id in HARMLESS:
        return
    sent = f"{message.target} {message.body!r}"
    ours = ("<name>", "<own>", "<fresh>")
    assert any(name in sent for name in (NOTHING, NOWHERE, *ours))


def test_nothing_is_started_but_what_nobody_has() -> None:
    starts = [a for a in CATALOGUE if re.search(r"/(re)?start\b", a.request.target)]
    assert len(starts) == 4
    for attack in starts:
        assert NOTHING in attack.request.target


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.id)
def test_what_is_made_is_to_be_removed(attack: CatalogueAttack) -> None:
    """Whoever proves a success by looking at ``<name>`` has made it."""
    if attack.proof is not None and "<name>" in attack.proof.path:
        kinds = {thing.kind for thing in attack.creates}
        assert attack.proof.path.split("/")[1].rstrip("s") in kinds


def test_no_service_has_a_task() -> None:
    services = [a for a in CATALOGUE if a.request.target.startswith("/services/create")]
    assert services
    for attack in services:
        assert isinstance(attack.request.body, str)
        assert '"Replicas":0' in attack.request.body


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(profile="production")) as opened:
        yield opened


def judged(
    sandbox: Sandbox, preparation: Preparation, config: dict[str, Any]
) -> Iterator[tuple[CatalogueAttack, set[str]]]:
    """The rules that deny each row under a configuration."""
    for attack in CATALOGUE:
        if attack.id in UNASKED:
            continue
        request = request_of(attack, preparation)
        if request.chunked:  # dockerd drops what a chunked body says of its length
            kept = tuple(h for h in request.headers if h[0] != "Content-Length")
            request = Request(request.method, request.target, kept, request.body, chunked=True)
        judgement = sandbox.judge(authz_message(request, Client()), config)
        denied = {denial.rule for denial in judgement.record.denials}
        assert judgement.allow == (not denied)
        yield attack, denied


def test_the_rule_that_a_row_names_denies_it_where_every_operation_is_open(
    sandbox: Sandbox, preparation: Preparation
) -> None:
    text = STRICT.read_text().replace("WORKSPACE", str(preparation._folder))
    strict = sandbox.configured(YAML(typ="safe").load(text))
    for attack, denied in judged(sandbox, preparation, strict):
        assert (attack.rule in denied) if attack.rule else not denied, (attack.id, denied)


@pytest.mark.parametrize("profile", ["production", "devcontainer", "portainer"])
def test_profiles_deny_what_the_advice_says_that_they_deny(
    sandbox: Sandbox, preparation: Preparation, profile: str
) -> None:
    allowed = sandbox.configured({"profile": profile, "mounts": {"allow": []}})
    open_ = {a.id for a, denied in judged(sandbox, preparation, allowed) if not denied}
    if profile == "production":
        assert open_ == {attack.id for attack in CATALOGUE if attack.informational}
    for attack in CATALOGUE:
        if not attack.allowed_by and not attack.informational:
            assert attack.id not in open_
        elif profile in attack.allowed_by:
            assert attack.id in open_


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (["scenario.privileged"], "opa-authz with any shipped profile [privileged.container]"),
        (
            ["scenario.exec", "running.exec-root"],
            (
                "opa-authz with profile production [sections.operation, users.exec]; "
                "devcontainer allows it on purpose"
            ),
        ),
        (["read.logs"], "opa-authz: operations: {container.logs: deny}, where nobody needs it"),
    ],
)
def test_advice_names_rules_profiles_and_operations(ids: list[str], text: str) -> None:
    assert advice(select(ids)) == text


def test_advice_against_what_no_plugin_sees_is_about_the_engine() -> None:
    assert "no plugin can stop it: from 29.2" in advice(select(["images.buildkit-native"]))
    assert "CVE-2024-41110" in advice(select(["hidden.chunked"]))


def test_operations_in_advice_exist() -> None:
    for attack in CATALOGUE:
        if attack.informational:
            named = advice([attack]).partition("{")[2].partition(":")[0]
            assert named in routes.OPERATIONS
