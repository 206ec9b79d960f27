"""docs/reference/controls.md: every control with its evidence, from the source of the reports."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from authz_plugin.tools.compliance.controls import REPORTED, TABLED, Control, Standard, standard

_HEAD: Final = """\
# Controls

Which rules support which control of the standards that are often required. Tests compare these
tables with the policies: every rule exists, and one of the rules of a control denies a request that
violates the control.

For the CIS Docker Benchmark, OWASP and NIST SP 800-190 the tables also name the checks of
[validate](../how-to/validate.md) and the findings of [doctor](../how-to/doctor.md) that prove the
control on a host. [`opa-authz report`](../how-to/compliance.md) collects them; `*` stands for any
text. *Partly* and *outside* name what no authorization plugin can enforce.

This page is made from
[authz_plugin/tools/compliance/standards](../../authz_plugin/tools/compliance/standards).
"""


def controls_page() -> str:
    """The page, one table for each part of a standard."""
    lines = [_HEAD]
    for name in TABLED:
        lines += _standard(standard(name))
    return "\n".join(lines).rstrip() + "\n"


def _standard(one: Standard) -> Iterator[str]:
    proven = one.name in REPORTED
    columns = [*one.columns, "Rules", *(["Checks", "Findings", "Reach"] if proven else [])]
    for number, part in enumerate(one.parts):
        yield from (f"## {part.title}", "")
        if not number:
            furthest = f" Profile `{one.profile}` meets the most of them." if proven else ""
            yield from (textwrap.fill(one.about + furthest, 100), "")
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        for control in part.controls:
            cells = [_number(control), _title(control), _ids(control.rules)]
            if proven:
                cells += [_ids(control.checks), _ids(control.findings), _reach(control)]
            yield f"| {' | '.join(cells)} |"
        yield ""


def _number(control: Control) -> str:
    return f"{control.id} (also {control.also})" if control.also else control.id


def _title(control: Control) -> str:
    return f"{control.title}. {control.note}" if control.note else control.title


def _ids(ids: tuple[str, ...]) -> str:
    return ", ".join(f"`{id_}`" for id_ in ids)


def _reach(control: Control) -> str:
    if control.outside:
        return f"*outside*: {control.outside}"
    return f"*partly*: {control.partly}" if control.partly else ""
