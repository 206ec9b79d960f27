"""The Ansible role without Ansible: its example, and the settings and drop-in that it writes.

``make ansible-test`` runs the role on a host.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jinja2
from ruamel.yaml import YAML

from authz_plugin import policy, settings

ROOT: Final = Path(__file__).parents[2]
ROLE: Final = ROOT / "deploy/ansible/roles/opa_authz"


def read(text: str | Path) -> Any:
    return YAML(typ="safe").load(text)


def example() -> dict[str, Any]:
    [play] = read(ROOT / "deploy/ansible/site.yml")
    [role] = play["roles"]
    variables: dict[str, Any] = role["vars"]
    return variables


def rendered(template: str, **variables: Any) -> str:
    """A template of the role, with the two filters of Ansible that it uses written out."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters["combine"] = lambda *parts: {k: v for p in parts for k, v in p.items()}
    environment.filters["to_nice_yaml"] = lambda value, **_: json.dumps(value)
    return environment.get_template(template).render(read(ROLE / "defaults/main.yml") | variables)


def test_the_settings_of_the_example_are_sound(tmp_path: Path) -> None:
    for name in ("site.pub.pem", "service.token"):
        (tmp_path / name).write_text("what the role writes to /etc/opa-authz")
    file = tmp_path / "config.yaml"
    text = rendered("config.yaml.j2", **example())
    file.write_text(text.replace("/etc/opa-authz", str(tmp_path)))
    loaded = settings.load({("config",): str(file)}, {}, policy.config_schema())
    assert loaded.fleet is not None
    assert loaded.fleet.url == example()["opa_authz_fleet"]["url"]
    assert loaded.fleet.token_file == tmp_path / "service.token"


def test_the_drop_in_is_the_shipped_one() -> None:
    shipped = (ROOT / "deploy/systemd/opa-authz.service.d/fleet.conf").read_text()
    written = rendered("fleet.conf.j2", **example())
    assert settings_of(written) == settings_of(shipped)


def settings_of(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if line and not line.startswith("#")]


def test_the_example_of_the_page_is_that_of_the_role_and_sets_what_the_role_knows() -> None:
    page = (ROOT / "docs/how-to/fleet.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    [shown] = [read(block) for block in blocks if "role: opa_authz" in block]
    assert shown == [{"role": "opa_authz", "vars": example()}]
    assert set(example()) <= set(read(ROLE / "defaults/main.yml"))


def test_dockerd_is_told_last_and_after_the_check() -> None:
    tasks = read(ROLE / "tasks/main.yml")
    check, last = tasks[-2], tasks[-1]
    assert check["ansible.builtin.command"].endswith(" check")
    assert check["until"] == "opa_authz_checked.rc == 0"
    assert last["ansible.builtin.include_tasks"] == "dockerd.yml"
