"""Settings are found in environment files and compose files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer.dotenv import read_dotenv, substitute
from authz_plugin.tools.importer.permissions import Dialect
from authz_plugin.tools.importer.sources import File, Proxy, find_proxies

SERVICE = """\
services:
  proxy:
    image: tecnativa/docker-socket-proxy:0.3
    environment:
      CONTAINERS: 1
"""


def only(
    files: list[File],
    service: str | None = None,
    dialect: Dialect | None = None,
    environment: dict[str, str] | None = None,
) -> Proxy:
    """The only proxy in files."""
    names = [] if service is None else [service]
    (proxy,) = find_proxies(files, environment or {}, names, dialect).proxies
    return proxy


def found(
    text: str, name: str = "compose.yaml", folder: Path = Path("/nowhere"), **more: str
) -> Proxy:
    return only([File(name, text, folder)], environment=more)


def values(proxy: Proxy) -> dict[str, str]:
    return {setting.name: setting.value for setting in proxy.settings}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  A = 1  ", "1"),
        ("export A=1", "1"),
        ("A: 1", "1"),
        ("A=", ""),
        ("A=1 # on", "1"),
        ("A=1#2", "1#2"),
        ("A='1 # $X' # on", "1 # $X"),
        ('A="1 # on" # on', "1 # on"),
        (r'A="say \"1\""', 'say "1"'),
        ("A=$X", "x"),
        ("A=${X}y", "xy"),
        ("A=${Y:-1}", "1"),
        ("A=${EMPTY:-1}", "1"),
        ("A=${EMPTY-1}", ""),
        ("A=${X:+1}", "1"),
        ("A=${Y:+1}", ""),
        ("A=${Y}", ""),
        ("A=$$X", "$X"),
        (r'A="\$X \\ "', "$X \\ "),
        ("A='1\n2'", "1\n2"),
        ('A="1\nB=2"  # two lines', "1\nB=2"),
        (r"A=/v1\..{1,2}/x$", r"/v1\..{1,2}/x$"),
        ('A="${X}"', "x"),
    ],
)
def test_a_line_of_an_environment_file(line: str, value: str) -> None:
    (setting,) = read_dotenv("f", line, {"X": "x", "EMPTY": ""})
    assert (setting.name, setting.value, setting.place) == ("A", value, "f:1")


def test_comments_and_blank_lines_are_nothing_and_later_lines_see_earlier_ones() -> None:
    read = read_dotenv("f", "# A=1\n\n  # B=1\nA=1\nB=${A}\nHOME\nABSENT\n", {"HOME": "/root"})
    assert [(s.name, s.value, s.place) for s in read] == [
        ("A", "1", "f:4"),
        ("B", "1", "f:5"),
        ("HOME", "/root", "f:6"),
    ]


@pytest.mark.parametrize("line", ["=1", "A B=1", "1A=1", "- A=1", 'A="1', "A='1", 'A="1" 2'])
def test_a_line_that_is_none_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_dotenv("proxy.env", f"B=1\n{line}\n", {})
    assert raised.value.where == "proxy.env:2"


def test_a_value_that_must_be_there_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="f:1: POST: set it"):
        substitute("${POST:?set it}", "f:1", {"POST": ""})


@pytest.mark.parametrize(
    ("image", "dialect"),
    [
        ("tecnativa/docker-socket-proxy", "tecnativa"),
        ("tecnativa/docker-socket-proxy:0.3.0", "tecnativa"),
        ("ghcr.io/tecnativa/docker-socket-proxy:edge", "tecnativa"),
        ("mirror.example:5000/hub/tecnativa/docker-socket-proxy@sha256:00", "tecnativa"),
        ("lscr.io/linuxserver/socket-proxy:latest", "linuxserver"),
        ("ghcr.io/linuxserver/socket-proxy", "linuxserver"),
        ("linuxserver/socket-proxy:3.2.4-r0-ls60", "linuxserver"),
        ("wollomatic/socket-proxy:1", "wollomatic"),
        ("ghcr.io/wollomatic/socket-proxy:1.11.0", "wollomatic"),
    ],
)
def test_a_proxy_is_known_by_its_image(image: str, dialect: str) -> None:
    text = SERVICE.replace("tecnativa/docker-socket-proxy:0.3", image)
    proxy = found(text)
    assert (proxy.dialect, proxy.service) == (dialect, "proxy")


@pytest.mark.parametrize("image", ["tecnativa/docker-socket-proxy2", "xtecnativa/other", "traefik"])
def test_another_image_is_no_proxy(image: str) -> None:
    with pytest.raises(
        SettingsError, match="no service runs tecnativa/docker-socket-proxy, "
    ) as raised:
        found(SERVICE.replace("tecnativa/docker-socket-proxy:0.3", image))
    assert raised.value.where == "compose.yaml"


@pytest.mark.parametrize(
    "environment",
    [
        "{CONTAINERS: 1, POST: '0', INFO: true, X: 'a=b'}",
        "[CONTAINERS=1, POST=0, INFO=true, X=a=b]",
        "\n      - CONTAINERS=1\n      - 'POST=0'\n      - INFO=true\n      - X=a=b",
        "\n      <<: *shared\n      INFO: true\n      X: a=b",
    ],
)
def test_the_environment_is_a_mapping_or_a_list(environment: str) -> None:
    text = "x-shared: &shared {CONTAINERS: 1, POST: 0}\n" + SERVICE.replace(
        "environment:\n      CONTAINERS: 1", f"environment: {environment}"
    )
    assert values(found(text)) == {"CONTAINERS": "1", "POST": "0", "INFO": "true", "X": "a=b"}


def test_values_are_replaced_and_names_alone_are_passed_through() -> None:
    text = SERVICE.replace(
        "CONTAINERS: 1", "CONTAINERS: ${ON:-1}\n      POST: ${P}\n      INFO:\n      ABSENT:"
    )
    assert values(found(text, INFO="1", P="2")) == {"CONTAINERS": "1", "POST": "2", "INFO": "1"}


def test_the_image_may_be_made_of_variables_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REPO=mirror.example/\nP=1\n")
    text = SERVICE.replace("image: ", "image: ${REPO}").replace(": 1", ": ${P}")
    assert values(found(text, folder=tmp_path)) == {"CONTAINERS": "1"}
    assert values(found(text, folder=tmp_path, P="0")) == {"CONTAINERS": "0"}


def test_env_files_come_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("CONTAINERS=0\nPOST=1\n")
    (tmp_path / "b.env").write_text("INFO=1\n")
    files = "[a.env, {path: b.env}, {path: c.env, required: false}]"
    text = SERVICE.replace("    environment", f"    env_file: {files}\n    environment")
    proxy = found(text, folder=tmp_path)
    assert values(proxy) == {"CONTAINERS": "1", "POST": "1", "INFO": "1"}
    single = found(SERVICE + "    env_file: a.env\n", folder=tmp_path)
    assert values(single)["POST"] == "1"
    with pytest.raises(SettingsError, match=r"c\.env cannot be read"):
        found(SERVICE + "    env_file: c.env\n", folder=tmp_path)


@pytest.mark.parametrize(
    "command", ["\n      - -allowGET=/a b\n      - '-logjson'", "-allowGET='/a b' -logjson"]
)
def test_the_command_is_a_list_or_a_line(command: str) -> None:
    text = f"services:\n  p:\n    image: wollomatic/socket-proxy:1\n    command: {command}\n"
    assert found(text).command == ("-allowGET=/a b", "-logjson")


def test_a_part_of_a_file_that_describes_a_service_will_do() -> None:
    text = "environment:\n  # reading\n  CONTAINERS: 1\n  POST: 1\n"
    proxy = found(text)
    assert (proxy.dialect, proxy.service) == ("tecnativa", "")
    assert values(proxy) == {"CONTAINERS": "1", "POST": "1"}
    assert found(text.replace("POST: 1", "ALLOW_LOGS: 1")).dialect == "linuxserver"
    assert found(SERVICE.partition("  proxy:\n")[2].replace("    ", "")).dialect == "tecnativa"


def test_places_are_lines() -> None:
    (setting,) = found(SERVICE).settings
    assert setting.place == "compose.yaml:5"


TWO = SERVICE + "  other:\n    image: linuxserver/socket-proxy\n"


def test_of_several_proxies_all_are_found_or_those_that_are_named() -> None:
    files = [File("compose.yaml", TWO, Path("/nowhere"))]
    both = find_proxies(files, {}).proxies
    assert [(one.service, one.dialect) for one in both] == [
        ("proxy", "tecnativa"),
        ("other", "linuxserver"),
    ]
    assert only(files, dialect="linuxserver").service == "other"
    assert only(files, service="other").dialect == "linuxserver"
    with pytest.raises(SettingsError, match="no service third; there are: proxy, other"):
        only(files, service="third")


def test_a_service_of_another_image_is_taken_if_its_dialect_is_named() -> None:
    files = [File("c.yaml", SERVICE.replace("tecnativa/", "own/"), Path("/nowhere"))]
    with pytest.raises(SettingsError, match=r"own/docker-socket-proxy:0\.3 is none of tecnativa/"):
        only(files, service="proxy")
    assert only(files, service="proxy", dialect="linuxserver").dialect == "linuxserver"


FORK = """\
services:
  app: {image: registry.example/app, environment: {VERSION: 1}}
  guard: {image: registry.example/own-proxy:1, environment: {CONTAINERS: 1}}
  lists: {image: registry.example/regex-proxy, command: ["-allowGET=/version"]}
"""


@pytest.mark.parametrize(("dialect", "service"), [("tecnativa", "guard"), ("wollomatic", "lists")])
def test_a_fork_is_found_by_its_dialect_alone(dialect: Dialect, service: str) -> None:
    files = [File("c.yaml", FORK, Path("/nowhere"))]
    proxy = only(files, dialect=dialect)
    assert (proxy.service, proxy.dialect) == (service, dialect)


def test_without_a_known_image_services_and_dialects_are_listed() -> None:
    with pytest.raises(SettingsError) as raised:
        found(FORK)
    message = str(raised.value)
    assert "--dialect tecnativa or linuxserver or wollomatic" in message
    assert "app (registry.example/app), guard (registry.example/own-proxy:1), lists (" in message


def test_of_several_services_that_could_be_a_fork_one_is_to_be_named() -> None:
    files = [File("c.yaml", FORK.replace("VERSION", "IMAGES"), Path("/nowhere"))]
    with pytest.raises(SettingsError, match="several services could be the proxy, name it: app, g"):
        find_proxies(files, {}, (), "linuxserver")
    assert only(files, "guard", "linuxserver").service == "guard"


def test_a_dialect_that_none_of_several_proxies_has_is_refused() -> None:
    files = [File("c.yaml", TWO, Path("/nowhere"))]
    with pytest.raises(SettingsError, match="no proxy is wollomatic: proxy is tecnativa, other is"):
        find_proxies(files, {}, (), "wollomatic")


def test_services_may_share_what_they_are_made_of() -> None:
    text = """\
x-proxy: &proxy {image: tecnativa/docker-socket-proxy}
x-reads: &reads {CONTAINERS: 1}
services:
  one: {<<: *proxy, environment: {<<: *reads, POST: 1}}
  two: {<<: *proxy, environment: *reads}
  app: {image: registry.example/app}
"""
    files = [File("c.yaml", text, Path("/nowhere"))]
    both = find_proxies(files, {})
    assert {one.service: values(one) for one in both.proxies} == {
        "one": {"CONTAINERS": "1", "POST": "1"},
        "two": {"CONTAINERS": "1"},
    }
    assert [service.name for service in both.beside] == ["app"]


def test_the_check_of_mounts_is_found_in_the_service_that_has_it() -> None:
    text = SERVICE + "  dev:\n    environment: {WORKSPACE_ROOT: /w, HOME: /root}\n"
    assert values(found(text)) == {"WORKSPACE_ROOT": "/w", "CONTAINERS": "1"}


def test_environment_files_beside_a_compose_file_go_before_it() -> None:
    files = [
        File("compose.yaml", SERVICE, Path("/nowhere")),
        File("more.env", "CONTAINERS=0\nWORKSPACE_ROOT=/w\n", Path("/nowhere")),
    ]
    assert values(only(files)) == {"CONTAINERS": "0", "WORKSPACE_ROOT": "/w"}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("services:\n  a: [\n", "compose.yaml", "is not YAML"),
        ("services:\n  a: {}\n  a: {}\n", "compose.yaml", "is not YAML"),
        ("services: [a]\n", "compose.yaml:1", "is no mapping of services"),
        ("services: {}\n", "compose.yaml:1", "is no mapping of services"),
        ("", "compose.yaml", "is no compose file"),
        ("- a\n", "compose.yaml", "is no compose file"),
        (SERVICE.replace("    environment", "    extends: x\n    environment"), "compose.yaml:2",
         "docker compose config"),
        (SERVICE.replace("environment:\n      CONTAINERS: 1", "environment: 1"), "compose.yaml:4",
         "neither a mapping nor a list"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where(text: str, where: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        found(text)
    assert raised.value.where.startswith(where)


def test_services_with_rules_in_their_labels_are_noticed() -> None:
    text = SERVICE.replace("tecnativa/docker-socket-proxy:0.3", "wollomatic/socket-proxy:1")
    text += "  traefik:\n    labels: ['socket-proxy.allow.get=.*']\n  other: {labels: {a: b}}\n"
    (client,) = found(text).labelled
    assert (client.service, client.command) == ("traefik", ("-allowGET=.*",))


def test_labels_are_read_as_the_proxy_reads_them() -> None:
    labels = "[socket-proxy.allow.get.0=/a, socket-proxy.allow.POST=/b, socket-proxy.allow.head=,"
    labels += " socket-proxy.allow.bindmountfrom=/srv, socket-proxy.allow.gets=/c]"
    text = SERVICE.replace("tecnativa/docker-socket-proxy:0.3", "wollomatic/socket-proxy:1")
    (client,) = found(f"{text}  app: {{labels: {labels}}}\n").labelled
    assert client.command == ("-allowGET=/a", "-allowPOST=/b", "-allowbindmountfrom=/srv")
