"""docs/reference/rules: every rule, from the policies' annotations and from the plugin itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final

from authz_plugin.own_rules import OWN_RULES, OwnRule
from authz_plugin.rules import Rule, annotated_rules, one_line
from tests.generate.annotations import inspected

FOLDER: Final = "rules"
"""The folder of the pages, below docs/reference."""

_UP: Final = "/".join([".."] * (FOLDER.count("/") + 1))
"""From a page to the folder that holds ``FOLDER``."""

_OWN_PAGE: Final = "before-and-after"

_HEAD: Final = """\
# Rules

Every denial names its rule, as in `[mounts.source HostConfig.Binds[0]]`. These pages say for each
rule what it denies and why, which setting opens it and what to do instead; there is one page for
each concern.

[Fields]({up}/fields.md) lists for each field of a request the rules that judge it.

Settings that a rule names are keys of the
[policy configuration]({up}/policy-configuration.md). Beside them, `rules: {{mounts.source: warn}}`
makes a single rule warn instead of deny, and an exception allows one value until a date. Neither
is possible for the ids on the page [Before and after the policy]({own}.md).

These pages are made from the policies' annotations and `authz_plugin/own_rules.py`.

| rule | what it requires | settings |
|---|---|---|"""
_BACK: Final = "[All rules](README.md)"
_OWN_HEAD: Final = """\
# Before and after the policy

The plugin itself denies by these rules, or they are about the policy as a whole.

[All rules](README.md)
"""
_UNREADABLE: Final = (
    "No setting opens it: it denies a request that the other rules of its concern could not judge. "
    "It denies nothing while plugin, settings and policies are of the same version. Tell the "
    "operator of this host."
)


def rule_link(rule: str, page: str = "") -> str:
    """A Markdown link to a rule, from the path of a page below docs/reference."""
    target = f"{FOLDER}/{_page(rule)}.md"
    path = os.path.relpath(target, os.path.dirname(page) or ".")  # noqa: PTH120 - of links, not files
    return f"[`{rule}`]({path}#{_anchor(rule)})"


def rules() -> Iterator[Rule]:
    """The denials of the rule packages, as their annotations are now."""
    return (found.rule for found in annotated_rules(inspected()))


def rules_pages() -> Mapping[str, str]:
    """The pages by their paths below docs/reference: the index, one page for each rule package, and
    one of the plugin's own rules."""
    found = sorted(rules(), key=lambda rule: rule.package)
    packages: dict[str, list[Rule]] = {}
    for rule in found:
        packages.setdefault(rule.package, []).append(rule)
    pages = {"README": _index(found)}
    pages |= {_file(package): _concern(package, own) for package, own in packages.items()}
    pages[_OWN_PAGE] = _own_page()
    return {f"{FOLDER}/{name}.md": text for name, text in pages.items()}


def _index(found: Iterable[Rule]) -> str:
    lines = [_HEAD.format(up=_UP, own=_OWN_PAGE)]
    for rule in found:
        settings = ", ".join(f"`{key}`" for key in rule.settings)
        lines.append(f"| {_index_link(rule.id)} | {rule.title} | {settings} |")
    lines += [f"| {_index_link(id_)} | {own.title} | |" for id_, own in OWN_RULES.items()]
    return "\n".join(lines) + "\n"


def _index_link(rule: str) -> str:
    return rule_link(rule, f"{FOLDER}/README.md")


def _concern(package: str, own: Iterable[Rule]) -> str:
    title, description = _packages()[package]
    lines = [f"# {title}", "", description, "", _BACK, ""]
    for rule in own:
        lines += _part(rule.id, rule.title, rule.description, _of_rule(rule))
    return "\n".join(lines).rstrip() + "\n"


def _own_page() -> str:
    lines = [_OWN_HEAD]
    for id_, own in OWN_RULES.items():
        lines += _part(id_, own.title, own.description, _of_own_rule(own))
    return "\n".join(lines).rstrip() + "\n"


def _part(id_: str, title: str, description: str, remedy: str) -> list[str]:
    return [f"## `{id_}`", "", f"**{title}.** {description}", "", remedy, ""]


def _of_rule(rule: Rule) -> str:
    if rule.id.endswith(".unreadable"):
        return _UNREADABLE
    keys = " or ".join(f"`{key}`" for key in rule.settings)
    return f"{f'Setting: {keys}.' if keys else 'No setting opens it.'} {rule.remedy}"


def _of_own_rule(own: OwnRule) -> str:
    remedy = own.remedy.replace("](", f"]({_UP}/")
    return f"{f'Setting: {own.opens}.' if own.opens else 'No setting opens it.'} {remedy}"


@cache
def _packages() -> Mapping[str, tuple[str, str]]:
    """Title and description of each rule package."""
    return {
        entry["path"][-1]["value"]: (
            entry["annotations"]["title"],
            one_line(entry["annotations"]["description"]),
        )
        for entry in inspected()["annotations"]
        if entry["annotations"]["scope"] == "package"
    }


def _page(rule: str) -> str:
    """The page of a rule, without folder and suffix."""
    if rule in OWN_RULES:
        return _OWN_PAGE
    return rule.partition(".")[0]


def _file(package: str) -> str:
    return package.replace("_", "-")


def _anchor(rule: str) -> str:
    return rule.replace(".", "")
