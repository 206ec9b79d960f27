"""wollomatic's expressions: its documented examples, and what must not be opened by them."""

from __future__ import annotations

import pytest

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import Imported, Proxy, import_proxies, import_proxy
from authz_plugin.tools.importer.dotenv import Setting


def imported(*command: str, **variables: str) -> Imported:
    settings = tuple(Setting(name, value, "proxy.env:1") for name, value in variables.items())
    return import_proxy(Proxy("wollomatic", "", settings, command, ()))


def notes_on(found: Imported, subject: str) -> list[tuple[str, str]]:
    return [(note.kind, note.text) for note in found.notes if note.subject == subject]


READS = {"container.inspect", "container.list", "container.stats"}
PING_AND_VERSION = {"system.ping", "system.version"}

EXAMPLES = {
    "Traefik": (
        [r"-allowGET=/v1\..{1,2}/(version|containers/.*|events.*)"],
        READS | {"system.events", "system.version"},
    ),
    "every HEAD": (["-allowHEAD=.*"], {"system.ping"}),
    "several flags": (["-allowGET=/version", "-allowGET=/_ping"], PING_AND_VERSION),
    "Dozzle": (
        [r"-allowGET=/v1\..{2}/(containers/.*|events)|/_ping", "-allowHEAD=/_ping"],
        READS | {"system.events", "system.ping"},
    ),
    "Watchtower": (
        [
            r"-allowGET=/v1\..{2}/(containers/.*|images/.*|info)",
            r"-allowPOST=/v1\..{2}/(containers/.*|images/.*|networks/.*)",
            r"-allowDELETE=/v1\..{2}/(containers/.*|images/.*)",
            "-allowHEAD=/_ping",
        ],
        READS
        | {f"container.{word}" for word in (
            "attach", "changes", "create", "kill", "logs", "pause", "prune", "remove", "rename",
            "resize", "restart", "start", "stop", "top", "unpause", "update", "wait")}
        | {f"image.{word}" for word in (
            "attestations", "history", "inspect", "list", "prune", "pull", "push", "remove",
            "search", "tag")}
        | {f"network.{word}" for word in ("connect", "create", "disconnect", "prune")}
        | {"system.info", "system.ping"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_documented_example_opens_what_its_client_needs(name: str) -> None:
    command, operations = EXAMPLES[name]
    assert imported(*command).operations == operations


def test_the_documented_variables_are_the_flags_of_the_same_meaning() -> None:
    pattern = r"/v1\..{1,2}/(version|containers/.*|events.*)"
    by_variable = imported(SP_ALLOW_GET=pattern).operations
    assert by_variable == imported(f"-allowGET={pattern}").operations
    numbered = imported(SP_ALLOW_GET="/version", SP_ALLOW_GET_2="/_ping", SP_ALLOW_POST="")
    assert numbered.operations == PING_AND_VERSION


def test_a_flag_goes_before_the_variable() -> None:
    found = imported("-allowGET=/version", SP_ALLOW_GET="/info", SP_ALLOW_HEAD="/_ping")
    assert found.operations == PING_AND_VERSION
    assert notes_on(found, "SP_ALLOW_GET=/info") == [
        ("carried over", "not read: -allowGET goes before it")
    ]


@pytest.mark.parametrize(
    "words",
    [["--allowGET=/version"], ["-allowGET", "/version"], ["-logjson", "-allowGET=/version"]],
)
def test_flags_are_read_as_go_reads_them(words: list[str]) -> None:
    assert imported(*words).operations == {"system.version"}


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("/v1.44/containers/web/start", "container.checkpoint.restore, container.start"),
        ("/v1.44/containers/[a-f0-9]+/start", "container.checkpoint.restore, container.start"),
        ("/v1.44/containers/[^_]+/start", "container.checkpoint.restore, container.start"),
        ("/v1.44/images/[^/]+/push", "image.push"),
        ("/v1.44/plugins/vieux.*/enable", "plugin.enable"),
    ],
)
def test_an_expression_for_single_objects_allows_nothing_and_is_noted(
    expression: str, part: str
) -> None:
    found = imported(f"-allowPOST={expression}")
    assert not found.operations
    ((kind, text),) = notes_on(found, f"-allowPOST={expression}")
    assert (kind, text) == ("warning", f"in part, and so not opened: {part}")


def test_an_operation_with_two_paths_is_open_if_both_are() -> None:
    single = imported("-allowGET=/images/get", "-allowGET=/images/x/export")
    assert "image.export" in notes_on(single, "-allowGET=/images/get")[0][1]
    assert not single.operations


def test_an_expression_that_matches_nothing_is_noted() -> None:
    found = imported("-allowGET=/v1.44/container/json", "-allowPATCH=.*")
    for subject in ("-allowGET=/v1.44/container/json", "-allowPATCH=.*"):
        assert notes_on(found, subject) == [("warning", "matches no operation of the Docker API")]
    assert found.configuration["profile"] == "closed"


def test_a_bar_outside_of_parentheses_allows_what_is_intended_only() -> None:
    """The proxy puts ^ before and $ after it: every path that begins with the one or ends in the
    other is let through, such as /containers/x/json, which ends in /json."""
    found = imported("-allowGET=/_ping|/json")
    assert found.operations == {"system.ping"}
    ((_, first), (kind, text)) = notes_on(found, "-allowGET=/_ping|/json")
    assert first == "operations: system.ping"
    assert kind == "stricter"
    assert text.startswith("container.inspect, container.list, ")


def test_what_nobody_named_stays_closed_and_what_the_expression_names_is_open() -> None:
    everything = imported("-allowGET=/v1.44/containers/.*")
    assert everything.operations == READS
    named = imported("-allowGET=/v1.44/containers/.*/(json|logs|archive)")
    assert named.operations == {"container.archive.get", "container.inspect", "container.logs"}
    assert "container.top" not in imported("-allowGET=.*/(stop|top2|.*)").operations


def test_an_exec_is_made_only_if_it_can_be_started() -> None:
    made = "-allowPOST=/v1.44/containers/[^/]+/exec"
    assert not imported(made).operations
    assert imported(made, "-allowPOST=/v1.44/exec/.*").operations == {
        "exec.create", "exec.resize", "exec.start",
    }  # fmt: skip


def test_sections_are_what_leaves_least_to_be_named() -> None:
    found = imported("-allowGET=.*", "-allowPOST=/v1.44/containers/.*/restart")
    sections = found.configuration["sections"]
    assert sections["networks"] == sections["images"] == "read"
    assert sections["debug"] == "read"
    assert found.configuration["operations"]["container.restart"] == "allow"
    few = imported("-allowGET=/v1.44/containers/json")
    assert few.configuration["sections"]["containers"] == "none"
    assert few.configuration["operations"] == {"container.list": "allow"}


def test_a_missing_api_version_makes_no_difference_and_is_noted() -> None:
    assert notes_on(imported("-allowGET=/v1.44/info"), "API versions")[0][0] == "wider"
    assert not notes_on(imported(r"-allowGET=(/v1\..*)?/info"), "API versions")


def test_mounts_are_the_paths_that_may_be_mounted() -> None:
    creates = "-allowPOST=/v1.44/containers/create"
    found = imported(creates, "-allowbindmountfrom=/var/log,/tmp/")
    assert found.configuration["mounts"] == {"allow": [{"path": "/var/log"}, {"path": "/tmp"}]}
    by_variable = imported(creates, SP_ALLOWBINDMOUNTFROM="/srv")
    assert by_variable.configuration["mounts"] == {"allow": [{"path": "/srv"}]}
    everything = imported(creates, "-allowbindmountfrom=/")
    assert notes_on(everything, "mounts")[0][0] == "warning"
    without = imported(creates)
    assert without.configuration["mounts"] == {"allow": []}
    assert notes_on(without, "mounts")[0][0] == "stricter"


def test_a_setting_without_counterpart_names_the_alternative() -> None:
    command = ["-listenip=0.0.0.0", "-allowfrom=traefik", "-stoponwatchdog", "-proxyport=2375"]
    found = imported(*command, SP_LOGLEVEL="debug")
    subjects = {note.subject for note in found.notes if note.kind == "no counterpart"}
    assert subjects == {
        *command[:2],
        "-stoponwatchdog=true",
        "-proxyport=2375",
        "SP_LOGLEVEL=debug",
    }


TRAEFIK = Proxy("wollomatic", "traefik", (), ("-allowGET=/v1.44/containers/json",), ())


def test_a_client_with_rules_in_its_labels_becomes_a_role() -> None:
    command = ("-allowGET=/v1.44/info", "-proxycontainername=p")
    found = import_proxies([Proxy("wollomatic", "p", (), command, (TRAEFIK,))])
    assert found.configuration["sections"]["info"] == "read"
    role = found.configuration["roles"]["traefik"]
    assert role["callers"] == [{"user": "traefik"}]
    assert role["operations"] == {"container.list": "allow"}
    assert found.operations == {"container.list", "system.info"}


def test_rules_in_labels_that_the_proxy_does_not_read_open_nothing() -> None:
    found = import_proxies([Proxy("wollomatic", "p", (), (), (TRAEFIK,))])
    assert "roles" not in found.configuration
    assert [kind for kind, _ in notes_on(found, "labels of traefik")] == ["warning"]
    assert [note.subject for note in found.notes][-1] == "NOTHING IS OPEN"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-allowget=/x"], "has no such flag, did you mean allowGET?"),
        (["x"], "has no such flag"),
        (["-allowGET=/(x"], "is not understood"),
        (["-allowbindmountfrom=tmp"], "tmp is no absolute path"),
    ],
)
def test_a_command_with_which_the_proxy_would_not_start_is_refused(
    words: list[str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        imported(*words)


def test_a_variable_that_is_not_known_is_named() -> None:
    found = imported(SP_ALLOW_GETS=".*", SP_LISTEN="x", PATH="hunter2")
    assert notes_on(found, "SP_ALLOW_GETS")[0][1].endswith("did you mean SP_ALLOW_GET?")
    assert notes_on(found, "SP_LISTEN")[0][1].endswith("did you mean SP_LISTENIP?")
    assert "hunter2" not in str(found.notes)
