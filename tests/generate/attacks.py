"""Generate docs/reference/attacks.md: the attacks on real daemons, and their results."""

from __future__ import annotations

from typing import Final

from tests.generate.rules import rule_link
from tests.harness.engines import ENGINES
from tests.real.attacks import ATTACKS
from tests.real.attacks.model import POLICIES, AttackCase

_HEAD: Final = f"""\
# Attacks

Every row is a request that [the tests](../../tests/real/test_attacks.py) send byte for byte to
four real daemons. First the daemon is unguarded: its answers prove that the attack works, or that
this engine rejects it by itself. Then three policies guard the daemon: the rule named here must
deny the attack, and an inventory of the daemon must be the same afterwards. The policies are the
profiles `production` and `devcontainer`, and [a strict one](../../tests/real/attacks/strict.yaml)
that opens every section, so that each denial is due to the content of the request. The requests are
defined in [tables](../../tests/real/attacks).

```sh
.venv/bin/pytest tests/real/test_attacks.py
```

*Unguarded*: the attack works on every engine, except on those that are named with what they do
instead. *Denied by*: the rule under the strict policy. A profile that closes the operation denies
the attack by {rule_link("sections.operation")}. Profiles that allow the attack on
purpose are named.

"""


def attacks_page() -> str:
    """Return the page: the totals, then one table for each family."""
    families = list(dict.fromkeys(attack.family.title for attack in ATTACKS))
    lines = [_HEAD + _totals()]
    for family in families:
        rows = [attack for attack in ATTACKS if attack.family.title == family]
        lines += ["", f"## {family}", "", "| attack | unguarded | denied by |", "|---|---|---|"]
        lines += [f"| {_cell(a.title)} | {_unguarded(a)} | {_rules(a)} |" for a in rows]
    return "\n".join(lines) + "\n"


def _totals() -> str:
    lines = [
        f"| {len(ATTACKS)} attacks | " + " | ".join(ENGINES) + " |",
        "|---|" + "---|" * len(ENGINES),
        "| work unguarded | " + " | ".join(str(_working(engine)) for engine in ENGINES) + " |",
    ]
    for policy in POLICIES:
        cells = [
            f"{sum(_works(a, e) and a.rule(e, policy) is not None for a in ATTACKS)} denied, "
            f"{sum(_works(a, e) and a.rule(e, policy) is None for a in ATTACKS)} allowed on purpose"
            for e in ENGINES
        ]
        lines.append(f"| of these, guarded by {policy} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _working(engine: str) -> int:
    return sum(_works(attack, engine) for attack in ATTACKS)


def _works(attack: AttackCase, engine: str) -> bool:
    return engine not in attack.engine_refusals


def _unguarded(attack: AttackCase) -> str:
    reasons = {
        engine: attack.engine_refusals[engine].reason
        for engine in ENGINES
        if engine in attack.engine_refusals
    }
    if not reasons:
        return "works"
    if len(reasons) == len(ENGINES) and len(set(reasons.values())) == 1:
        return f"dockerd {next(iter(reasons.values()))}"
    grouped = {reason: [e for e in reasons if reasons[e] == reason] for reason in reasons.values()}
    return "; ".join(f"{', '.join(engines)} {reason}" for reason, engines in grouped.items())


def _rules(attack: AttackCase) -> str:
    rules = {engine: attack.rule(engine, "strict") for engine in ENGINES}
    if None in rules.values():
        shown = {engine: attack.rule(engine, "production") for engine in ENGINES}
    else:
        shown = rules
    if None in shown.values():
        return "no rule: dockerd asks no plugin"
    grouped = {rule: [e for e in ENGINES if shown[e] == rule] for rule in shown.values()}
    text = ", ".join(
        _link(rule) if len(grouped) == 1 else f"{_link(rule)} ({', '.join(engines)})"
        for rule, engines in grouped.items()
    )
    allowed = [policy for policy in POLICIES if attack.rules[policy] is None]
    return f"{text}; allowed by {', '.join(allowed)}" if allowed else text


def _link(rule: str | None) -> str:
    return rule_link(rule or "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
