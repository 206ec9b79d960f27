"""docs/reference/operations.md: the operations of the Docker API, from the route table."""

from __future__ import annotations

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES, STREAM, Operation

_HEAD = """\
# Operations

Every route of the Docker Engine API from 20.10 to 29 is one operation. Policies and settings name
operations by their id and sections by theirs: `sections: {containers: read}` opens every operation
of the section whose access is *read*, `operations: {container.start: allow}` one operation more.

*Body* says what a policy can see: *JSON* is shown and read as dockerd reads it, *unseen* is a tar
archive, a log-in or a connection that dockerd never shows to any plugin (see
[limits](../explanation/limits.md)).

This page is made from `authz_plugin/dockerd/routes.py`.
"""


def operations_page() -> str:
    """The page, one table a section."""
    lines = [_HEAD]
    for section in sorted({operation.section for operation in OPERATIONS.values()}):
        lines += ["", f"## {section}", "", "| operation | access | routes | body |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| `{operation.id}` | {operation.access} | {_routes(operation)} | {_body(operation)} |"
            for operation in OPERATIONS.values()
            if operation.section == section
        ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _routes(operation: Operation) -> str:
    return ", ".join(
        f"`{method} {path}`" for method, path, candidate in ROUTES if candidate is operation
    )


def _body(operation: Operation) -> str:
    if operation.body is None:
        return ""
    return "unseen" if operation.body == STREAM else "JSON"
