"""docs/attacks.md: the attacks that the tests send to real daemons, and what comes of them."""

from __future__ import annotations

from typing import Final

from tests.generate.rules import rule_link
from tests.real.attacks import ATTACKS
from tests.real.attacks.row import ENGINES, POLICIES, Attack

_HEAD: Final = f"""\
# Attacks

Every row is a request that [the tests](../tests/real/test_attacks.py) send, byte for byte, to three
real daemons: alone, where dockerd's own answers prove that it works or that this engine refuses it
by itself, and guarded by three policies, where it must be denied by the rule named here and must
leave nothing behind. The policies are the profiles `production` and `devcontainer`, and
[a strict one](../tests/real/attacks/strict.yaml) that opens every section, so that what is denied
is denied for what it asks.

```sh
.venv/bin/pytest tests/real/test_attacks.py
```

*Alone*: **works** on every engine that is not named with what it does instead. *Denied by*: the
rule under the strict policy; a profile that closes the operation denies it by
{rule_link("sections.operation")} first, and what a policy is made to allow is
marked with its name.

"""


def attacks_page() -> str:
    """The page: totals, then one table a family."""
    families = list(dict.fromkeys(attack.family for attack in ATTACKS))
    lines = [_HEAD + _totals()]
    for family in families:
        rows = [attack for attack in ATTACKS if attack.family == family]
        lines += ["", f"## {family}", "", "| attack | alone | denied by |", "|---|---|---|"]
        lines += [f"| {_cell(a.what)} | {_alone(a)} | {_rules(a)} |" for a in rows]
    return "\n".join(lines) + "\n"


def _totals() -> str:
    lines = [
        f"| {len(ATTACKS)} attacks | " + " | ".join(ENGINES) + " |",
        "|---|" + "---|" * len(ENGINES),
        "| work alone | " + " | ".join(str(_working(engine)) for engine in ENGINES) + " |",
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


def _works(attack: Attack, engine: str) -> bool:
    return engine not in attack.alone


def _alone(attack: Attack) -> str:
    reasons = {engine: attack.alone[engine].why for engine in ENGINES if engine in attack.alone}
    if not reasons:
        return "works"
    if len(reasons) == len(ENGINES) and len(set(reasons.values())) == 1:
        return f"dockerd {next(iter(reasons.values()))}"
    grouped = {why: [e for e in reasons if reasons[e] == why] for why in reasons.values()}
    return "; ".join(f"{', '.join(engines)} {why}" for why, engines in grouped.items())


def _rules(attack: Attack) -> str:
    rules = {engine: attack.rule(engine, "strict") for engine in ENGINES}
    if None in rules.values():
        shown = {engine: attack.rule(engine, "production") for engine in ENGINES}
    else:
        shown = rules
    if None in shown.values():
        return "no rule: dockerd asks nobody"
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
