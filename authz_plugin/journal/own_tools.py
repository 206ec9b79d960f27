"""The commands of this project that send requests to dockerd, by the User-Agent of these."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

from authz_plugin import __version__

Tool = Literal["attack", "doctor", "report", "validate"]
"""A command that sends requests to dockerd."""

_TOOL: Final = re.compile(rf"opa-authz/[0-9][0-9a-z.]{{0,15}} ({'|'.join(get_args(Tool))})")


def agent_of(tool: Tool) -> str:
    """The User-Agent with which a tool sends its requests to dockerd."""
    return f"opa-authz/{__version__} {tool}"


def tool_of(agent: str) -> str:
    """The tool that a User-Agent names, empty for none. Any client can send such a User-Agent."""
    found = _TOOL.fullmatch(agent)
    return "" if found is None else found[1]
