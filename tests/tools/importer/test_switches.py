"""The switches of the proxies that are built on HAProxy, beside a real HAProxy."""

from __future__ import annotations

import pytest

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import Imported
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.switches import detect_dialect, is_on
from tests.tools.importer.haproxy import passed, running_proxies
from tests.tools.importer.settings import proxy_settings

SPELLINGS = (
    "0", "1", "2", "-1", "+1", "01", "00", "10", "1.5", "1abc", "1 ", " 1", "", "true", "TRUE", "t",
    "yes", "y", "on", "ON", "enabled", "false", "no", "off", "0x1", "abc",
)  # fmt: skip


def test_a_value_is_on_where_haproxy_takes_it_for_on() -> None:
    with running_proxies([("tecnativa", {"INFO": value}) for value in SPELLINGS]) as proxies:
        theirs = [passed(proxy, [("GET", "/info")])[0] for proxy in proxies]
    assert [is_on(value) for value in SPELLINGS] == theirs


def notes(imported: Imported, kind: str) -> dict[str, str]:
    return {note.subject: note.text for note in imported.notes if note.kind == kind}


def test_a_switch_that_is_off_with_a_value_that_suggests_on_is_a_warning() -> None:
    given = {"CONTAINERS": "true", "INFO": "yes", "POST": "", "IMAGES": "false"}
    imported = proxy_settings("tecnativa", **given).imported()
    warnings = notes(imported, "warning")
    assert warnings.keys() == {"CONTAINERS=true", "INFO=yes", "POST="}
    assert warnings["POST="].endswith("It has no value here, so it is off")
    assert "IMAGES=false" in notes(imported, "carried over")
    assert imported.configuration["sections"]["containers"] == "none"


@pytest.mark.parametrize(
    ("variables", "opened"),
    [
        ({}, {"system.events", "system.ping", "system.version"}),
        ({"EVENTS": "0", "PING": "0", "VERSION": "0"}, set()),
        ({"EVENTS": "0", "PING": "0", "VERSION": "0", "POST": "1"}, set()),
    ],
)
def test_defaults_are_the_images_own(variables: dict[str, str], opened: set[str]) -> None:
    assert proxy_settings("tecnativa", **variables).imported().operations == opened


@pytest.mark.parametrize("name", ["ALLOW_START", "ALLOW_PAUSE"])
def test_an_action_needs_post_at_tecnativas_and_not_at_linuxservers(name: str) -> None:
    id_ = f"container.{name.removeprefix('ALLOW_').lower()}"
    assert id_ not in proxy_settings("tecnativa", **{name: "1"}).imported().operations
    assert id_ in proxy_settings("tecnativa", **{name: "1"}, POST="1").imported().operations
    assert id_ in proxy_settings("linuxserver", **{name: "1"}).imported().operations
    (text,) = (
        note.text
        for note in proxy_settings("tecnativa", **{name: "1"}).imported().notes
        if note.subject == f"{name}=1"
    )
    assert text.startswith("opens nothing: without POST=1")


def test_a_part_is_denied_by_linuxservers_until_its_variable_is_on() -> None:
    closed = proxy_settings("linuxserver", CONTAINERS="1", POST="1").imported()
    assert "container.logs" not in closed.operations
    assert notes(closed, "carried over")["ALLOW_LOGS=0 (default)"] == "logs: closed"
    opened = proxy_settings("linuxserver", CONTAINERS="1", ALLOW_LOGS="1").imported()
    assert "container.logs" in opened.operations
    assert "container.archive.get" not in opened.operations


def test_a_part_variable_that_tecnativas_proxy_does_not_read_is_honoured() -> None:
    meant = proxy_settings("tecnativa", CONTAINERS="1", POST="1", ALLOW_LOGS="0").imported()
    assert "container.logs" not in meant.operations
    assert "does not read" in notes(meant, "stricter")["ALLOW_LOGS=0"]
    assert "container.archive.get" in (
        proxy_settings("tecnativa", CONTAINERS="1", ALLOW_ARCHIVE="1").imported().operations
    )


def test_delete_0_closes_removals_though_no_proxy_reads_it() -> None:
    given = {"CONTAINERS": "1", "IMAGES": "1", "POST": "1"}
    opened = proxy_settings("tecnativa", **given, DELETE="1").imported()
    assert {"container.remove", "image.remove"} <= opened.operations
    closed = proxy_settings("tecnativa", **given, DELETE="0").imported()
    assert opened.operations - closed.operations == {"container.remove", "image.remove"}
    assert "container.remove, image.remove closed" in notes(closed, "stricter")["removal"]
    useless = proxy_settings("tecnativa", CONTAINERS="1", DELETE="1").imported()
    assert "opens nothing" in notes(useless, "carried over")["DELETE=1"]


def test_what_is_not_known_is_named_with_what_it_is_nearest_to_and_never_with_its_value() -> None:
    imported = proxy_settings("tecnativa", VOLUME="1", ZZZ="hunter2", CONTAINERS="1").imported()
    unknown = notes(imported, "unknown")
    assert unknown["VOLUME"] == "this proxy does not read it, did you mean VOLUMES?"
    assert unknown["ZZZ"] == "this proxy does not read it"
    assert "hunter2" not in str(imported.notes)


def test_a_setting_without_counterpart_names_the_alternative() -> None:
    given = {"LOG_LEVEL": "debug", "SOCKET_PATH": "/x", "DISABLE_IPV6": "1", "LIBPOD_PODS": "1"}
    without = notes(proxy_settings("linuxserver", **given).imported(), "no counterpart")
    assert without.keys() == {f"{name}={value}" for name, value in given.items()}
    assert all(without.values())


def test_write_access_with_unexamined_bodies_is_noted_as_root() -> None:
    for name, id_ in {
        "CONTAINERS": "container.create",
        "SERVICES": "service.create",
        "VOLUMES": "volume.create",
        "PLUGINS": "plugin.pull",
        "BUILD": "image.build",
    }.items():
        read, written = (
            proxy_settings("tecnativa", **{name: "1"}, POST=post) for post in ("0", "1")
        )
        assert "bodies" not in notes(read.imported(), "warning")
        text = notes(written.imported(), "warning")["bodies"]
        assert id_ in text
        assert "root on the host" in text


def settings(**variables: str) -> list[Setting]:
    return [Setting(name, value, "proxy.env:1") for name, value in variables.items()]


@pytest.mark.parametrize(
    ("variables", "dialect"),
    [
        ({"CONTAINERS": "1", "POST": "1"}, "tecnativa"),
        ({"WORKSPACE_ROOT": "/w"}, "tecnativa"),
        ({"ALLOW_START": "1", "POST": "1"}, "tecnativa"),
        ({"ALLOW_START": "0"}, "tecnativa"),
        ({"ALLOW_LOGS": "0"}, "linuxserver"),
        ({"LIBPOD_PING": "1", "ALLOW_START": "1"}, "linuxserver"),
        ({"SP_ALLOW_GET": ".*"}, "wollomatic"),
    ],
)
def test_the_dialect_follows_from_the_variables(variables: dict[str, str], dialect: str) -> None:
    assert detect_dialect(settings(**variables)) == dialect


def test_variables_of_something_else_are_no_proxys() -> None:
    with pytest.raises(SettingsError, match="holds no variable of a socket proxy"):
        detect_dialect(settings(PATH="/bin"))


def test_a_dialect_that_makes_a_difference_is_not_guessed() -> None:
    with pytest.raises(SettingsError, match="say which with --dialect") as raised:
        detect_dialect(settings(ALLOW_RESTARTS="1", CONTAINERS="1"))
    assert raised.value.key == "ALLOW_RESTARTS"
