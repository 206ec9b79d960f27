"""Marks each change that might remove a denial with what it makes possible.

The dangers are those that ``learn`` knows of the denied value, so they hold for every way to allow
it. A change that may allow more than the denied value is dangerous on that account too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.decision import Denial
from authz_plugin.rules import Rule
from authz_plugin.tools.config_changes.denials import Case, asked_changes, config_changes
from authz_plugin.tools.config_changes.steps import AddEntry, ConfigChange

Marks = tuple[ConfigChange, ...]
"""Changes as the gate knows them: by rule and value, each with its danger, empty for none."""

_UNSTATED: Final = "may allow more than this: the rule states no change that allows it"
_WIDER: Final = "may allow more than this: it is not the change that the rule states"
_WHOLE_FIELD: Final = "allows whatever this field of the request says"
_WHOLE_RULE: Final = "allows everything that the rule denies"


class Marker:
    """Marks the changes for one denial.

    ``config`` is the configuration that denies and ``given`` the one in force, each complete and
    for the caller's role. ``rule`` is None for a denial whose rule has no metadata. ``stated`` are
    the changes that the rule states and a configuration can express.
    """

    def __init__(
        self,
        denial: Denial,
        rule: Rule | None,
        document: Mapping[str, Any],
        config: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        self._denial = denial
        self._case = None if rule is None else Case(rule, denial, document, config, given)
        self._asked: Marks = tuple(asked_changes(self._case)) if self._case else ()
        self.stated = config_changes(self._case) if self._case else []

    def of_value(self) -> Marks:
        """The marks of a change that allows the denied value and nothing else."""
        if self._asked:
            return self._asked
        value = self._denial.value
        return (
            ConfigChange(self._denial.rule, "" if value is None else str(value), (), _UNSTATED),
        )

    def of_field(self) -> Marks:
        """The marks of a change that allows every value of the denied field."""
        return self._with(_WHOLE_FIELD)

    def of_rule(self) -> Marks:
        """The marks of a change that allows everything that the rule denies."""
        return self._with(_WHOLE_RULE)

    def of_entry(self, step: AddEntry) -> Marks:
        """The marks of an entry that is added to a list."""
        stated_keys = {s.key for c in self.stated for s in c.steps if isinstance(s, AddEntry)}
        if self._case is None or step.key not in stated_keys or not isinstance(step.item, str):
            return self.of_other()
        return (*self._asked, self._case.change(step.item, step))

    def of_other(self) -> Marks:
        """The marks of a change that the rule does not state."""
        return self._with(_WIDER)

    def _with(self, danger: str) -> Marks:
        return (*self._asked, ConfigChange(self._denial.rule, "", (), danger))


def is_dangerous(marks: Marks) -> bool:
    """Whether one of the marks has a danger."""
    return any(mark.danger for mark in marks)
