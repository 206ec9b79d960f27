"""Settings: where they come from, which goes first, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.errors import SettingsError
from authz_plugin.settings import Key, Settings


def load(
    file: Path | None = None,
    *,
    flags: dict[Key, Any] | None = None,
    environment: dict[str, str] | None = None,
) -> Settings:
    named: dict[Key, Any] = {("config",): str(file) if file else "/dev/null"}
    return settings.load(named | (flags or {}), environment or {}, policy.config_schema())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_everything_has_a_default() -> None:
    loaded = load()
    assert loaded.deadline == 2.0
    assert loaded.host_paths == "visible"
    assert loaded.policy == {}
    assert loaded.opa.url is None


def test_a_file_that_is_not_there_is_an_error_only_if_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="absent"):
        load(tmp_path / "absent.yaml")
    assert settings.load({}, {}, policy.config_schema()).policy == {}


def test_the_journals_defaults_are_those_that_are_documented() -> None:
    loaded = load()
    assert (loaded.log.level, loaded.log.format, loaded.log.reads) == ("info", "auto", 0)
    assert loaded.audit.file is None
    assert (loaded.audit.sync, loaded.audit.on_failure) == ("interval", "continue")
    assert (loaded.audit.max_size, loaded.audit.max_age, loaded.audit.retention) == (64, 24, 90)
    assert (loaded.metrics.listen, loaded.metrics.is_default) == ("127.0.0.1:9717", True)


def test_a_chosen_address_for_metrics_is_known_as_chosen(file: Path) -> None:
    file.write_text("metrics:\n  listen: 127.0.0.1:9717\n")
    assert not load(file).metrics.is_default
    assert not load(environment={"OPA_AUTHZ_METRICS_LISTEN": "off"}).metrics.is_default


def test_a_mapping_that_is_merged_in_counts_and_its_mistakes_have_a_place(file: Path) -> None:
    file.write_text("sections: &all\n  volumes: none\nroles:\n  ci:\n    sections: {<<: *all}\n")
    assert load(file).policy["roles"]["ci"]["sections"] == {"volumes": "none"}
    file.write_text("log: &a {level: loud}\naudit:\n  <<: *a\n")
    with pytest.raises(SettingsError, match=r"config\.yaml:"):
        load(file)


def test_inputs_need_a_file_that_they_are_written_to(file: Path) -> None:
    file.write_text("audit:\n  inputs: true\n")
    with pytest.raises(SettingsError, match=r"config\.yaml:2: audit\.inputs: needs audit\.file"):
        load(file)
    file.write_text("audit:\n  inputs: true\n  file: /var/log/opa-authz/audit.jsonl\n")
    assert load(file).audit.inputs is True


def test_the_decision_log_of_an_opa_that_is_not_ours_is_not_ours_to_set(file: Path) -> None:
    file.write_text("opa:\n  url: unix:/run/opa.sock\n  decision_log: true\n")
    with pytest.raises(SettingsError, match=r"config\.yaml:3: opa\.decision_log"):
        load(file)


def test_the_file_is_read(file: Path) -> None:
    file.write_text("profile: devcontainer\nserver:\n  threads: 3\ndeadline: 0.5\n")
    loaded = load(file)
    assert loaded.policy == {"profile": "devcontainer"}
    assert loaded.server.threads == 3
    assert loaded.deadline == 0.5


def test_the_environment_goes_over_the_file_and_flags_over_both(file: Path) -> None:
    file.write_text("profile: production\nlog:\n  level: error\npolicies: /from/file\n")
    loaded = load(
        file,
        environment={"OPA_AUTHZ_PROFILE": "from-env", "OPA_AUTHZ_LOG_LEVEL": "debug"},
        flags={("profile",): "from-flag"},
    )
    assert loaded.policy["profile"] == "from-flag"
    assert loaded.log.level == "debug"
    assert loaded.policies == Path("/from/file")


def test_the_environment_can_name_the_file(file: Path) -> None:
    file.write_text("profile: devcontainer\n")
    environment = {"OPA_AUTHZ_CONFIG": str(file)}
    loaded = settings.load({}, environment, policy.config_schema())
    assert loaded.policy["profile"] == "devcontainer"


def test_other_programs_variables_are_left_alone() -> None:
    assert load(environment={"DOCKER_HOST": "tcp://x", "OPA_LOG_LEVEL": "x"}).log.level == "info"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        pytest.param("profil: production\n", 1, "profil", id="a misspelt key"),
        pytest.param("sections:\n  exec: sometimes\n", 2, "sections.exec", id="a wrong word"),
        pytest.param("sections:\n  exec: yes\n", 2, "sections.exec", id="a Boolean for a word"),
        pytest.param("sections:\n  podman: read\n", 2, "sections.podman", id="no such section"),
        pytest.param(
            "mounts:\n  allow:\n    - path: /ok\n    - path: workspace\n",
            4,
            "mounts.allow[1].path",
            id="a relative path",
        ),
        pytest.param("mounts: [/workspace]\n", 1, "mounts", id="a list for a mapping"),
        pytest.param(
            "capabilities:\n  allow: [CAP_KILL]\n", 2, "capabilities.allow[0]", id="a CAP_ prefix"
        ),
        pytest.param(
            "privileged:\n  allow: 1\n", 2, "privileged.allow", id="a number for a Boolean"
        ),
        pytest.param("server:\n  sockt: /x\n", 2, "server.sockt", id="an unknown inner key"),
        pytest.param("server:\n  listen: everywhere\n", 2, "server.listen", id="no port"),
        pytest.param("log:\n  reads: 2\n", 2, "log.reads", id="more than all"),
        pytest.param("audit:\n  sync: often\n", 2, "audit.sync", id="no such policy"),
        pytest.param("audit:\n  file: audit\n", 2, "audit.file", id="a relative audit file"),
        pytest.param("metrics:\n  listen: '9717'\n", 2, "metrics.listen", id="a port alone"),
        pytest.param("deadline: 0\n", 1, "deadline", id="no time at all"),
        pytest.param("engine: rego\n", 1, "engine", id="an engine that is not there"),
        pytest.param("rules:\n  mounts.source: off\n", 2, "rules.mounts.source", id="a rule off"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(
    file: Path, text: str, line: int, key: str
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load(file)
    assert raised.value.where == f"{file}:{line}"
    assert raised.value.key == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("privileged: {allow: 1}", "must be true or false"),
        ("mounts: {allow: /srv}", "must be a list"),
        ("operations: [container.create]", "must be a mapping of keys to values"),
        ("operations: {container.create: [allow]}", "must be one of allow, deny"),
        ("log: {level: 1}", "must be one of debug, info, warning, error"),
        ("audit: {max_size: large}", "must be a whole number"),
        (
            "exceptions: [{rule: a.b, when: {role: c}, reason: d, expires: 2027-01-31}]",
            "needs value or field",
        ),
        (
            "exceptions: [{rule: a.b, value: c, when: {}, reason: d, expires: 2027-01-31}]",
            "must not be empty",
        ),
    ],
)
def test_a_mistake_is_told_with_what_it_should_have_been(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load(file)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("profile: production\nprofile: devcontainer\n", 2, id="a key given twice"),
        pytest.param("profile: [production\n", 2, id="an open bracket"),
        pytest.param("- profile\n", 1, id="a list"),
        pytest.param("production\n", 1, id="a word"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused_with_its_line(
    file: Path, text: str, line: int
) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load(file)
    assert raised.value.where == f"{file}:{line}"


def test_an_unknown_variable_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="OPA_AUTHZ_PROFILE"):
        load(environment={"OPA_AUTHZ_PROFIL": "x"})


@pytest.mark.parametrize(
    ("flags", "environment", "where"),
    [
        ({("engine",): "x"}, {}, "--engine"),
        ({}, {"OPA_AUTHZ_ENGINE": "x"}, "OPA_AUTHZ_ENGINE"),
        ({("opa", "url"): "ftp://x"}, {}, "--url"),
    ],
)
def test_a_mistake_outside_the_file_is_told_by_who_made_it(
    flags: dict[Key, Any], environment: dict[str, str], where: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        load(flags=flags, environment=environment)
    assert raised.value.where == where


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("metrics: {listen: 9717}", 'must be a text, for example "127.0.0.1:9717"'),
        ("metrics: {listen: '9717'}", "'9717' must be like 127.0.0.1:9717"),
        ("opa: {url: x}", "'x' is not of the form ^(unix:/|https?://)"),
        ("containers: {restart: [x]}", 'one of "", no, always, on-failure, unless-stopped'),
    ],
)
def test_a_value_of_a_wrong_form_is_answered_with_one_that_fits(
    file: Path, values: str, message: str
) -> None:
    file.write_text(f"{values}\n")
    with pytest.raises(SettingsError) as raised:
        load(file)
    assert message in str(raised.value)


def test_a_suggestion_names_the_key_that_was_meant(file: Path) -> None:
    file.write_text("capabilites:\n  allow: []\n")
    with pytest.raises(SettingsError, match="did you mean capabilities"):
        load(file)


def test_tcp_is_refused_without_mutual_tls(file: Path) -> None:
    file.write_text("server:\n  listen: 127.0.0.1:8443\n  certificate: /dev/null\n")
    with pytest.raises(SettingsError, match=r"needs server\.key"):
        load(file)


def test_a_certificate_that_is_not_there_is_refused(file: Path) -> None:
    names = ("certificate", "key", "client_ca")
    lines = [f"  {name}: /absent/{name}\n" for name in names]
    file.write_text("server:\n  listen: 127.0.0.1:8443\n" + "".join(lines))
    with pytest.raises(SettingsError, match="not a file") as raised:
        load(file)
    assert raised.value.key == "server.certificate"


def test_root_and_others_have_sockets_of_their_own() -> None:
    assert settings.default_socket({}, root=True) == Path("/run/docker/plugins/opa-authz.sock")
    runtime = settings.default_socket({"XDG_RUNTIME_DIR": "/run/user/7"}, root=False)
    assert runtime == Path("/run/user/7/docker/plugins/opa-authz.sock")
    assert settings.default_socket({}, root=False).is_relative_to(Path.home())


TLS = "  certificate: {files}/cert\n  key: {files}/key\n"


@pytest.mark.parametrize(
    ("text", "line", "key", "needs"),
    [
        ("  listen: 0.0.0.0:9717\n", 2, "listen", "needs metrics.certificate"),
        ("  listen: '[::]:9717'\n", 2, "listen", "needs metrics.certificate"),
        ("  listen: docker.example.com:9717\n", 2, "listen", "needs metrics.certificate"),
        ("  listen: 0.0.0.0:9717\n" + TLS, 3, "certificate", "client_ca or metrics.token_file"),
        ("  token_file: {files}/token\n", 2, "token_file", "metrics.certificate and metrics.key"),
        ("  key: {files}/key\n  client_ca: {files}/ca\n", 2, "key", "metrics.certificate and"),
        (TLS + "  client_ca: /nowhere\n", 4, "client_ca", "/nowhere is not a file"),
        (TLS + "  listen: off\n", 2, "certificate", "not for off"),
        (TLS + "  listen: unix:/run/m\n", 2, "certificate", "not for unix:/run/m"),
    ],
)
def test_metrics_that_others_could_read_unproven_are_a_mistake(
    file: Path, text: str, line: int, key: str, needs: str
) -> None:
    for name in ("cert", "key", "ca", "token"):
        (file.parent / name).touch()
    file.write_text("metrics:\n" + text.format(files=file.parent))
    with pytest.raises(SettingsError) as raised:
        load(file)
    assert (raised.value.where, raised.value.key) == (f"{file}:{line}", f"metrics.{key}")
    assert needs in str(raised.value)


@pytest.mark.parametrize("proof", ["client_ca: {files}/ca", "token_file: {files}/token"])
def test_metrics_are_for_other_hosts_with_tls_and_a_proof(file: Path, proof: str) -> None:
    for name in ("cert", "key", "ca", "token"):
        (file.parent / name).touch()
    text = f"metrics:\n  listen: 0.0.0.0:9717\n{TLS}  {proof}\n"
    file.write_text(text.format(files=file.parent))
    assert load(file).metrics.certificate == file.parent / "cert"


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])
def test_metrics_on_this_host_alone_need_no_proof(listen: str) -> None:
    assert load(environment={"OPA_AUTHZ_METRICS_LISTEN": listen}).metrics.listen == listen
