"""docs/reference/operations.md: the operations of the Docker API, from the route table."""

from __future__ import annotations

from authz_plugin.dockerd.routes import OPERATIONS, ROUTES, STREAM, Operation

_HEAD = """\
# Operations

Every route of the Docker Engine API from 20.10 to 29 belongs to an operation. Policies and settings
name operations and sections by their ids: `sections: {containers: read}` allows every operation of
the section whose access is *read*; `operations: {container.start: allow}` allows one more
operation.

*Body* says what a policy can see of the request's body. *JSON*: the body, as dockerd reads it.
*unseen*: nothing, because it is a tar archive, a log-in or a connection, which dockerd does not
send to plugins (see [limits](../explanation/limits.md)).

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
