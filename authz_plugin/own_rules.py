"""The rules that are in no rule package: those of the plugin itself and of ``decision.rego``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class OwnRule(NamedTuple):
    """A rule of the plugin or of ``decision.rego``.

    ``opens`` is the setting that allows what the rule denies, as Markdown; empty if there is none.
    Neither ``rules`` in the policy configuration nor an exception can name such a rule.
    """

    title: str
    description: str
    remedy: str
    opens: str = ""


PLUGIN_RULES: Final[Mapping[str, OwnRule]] = {
    "request.audit": OwnRule(
        "What is allowed must be recorded",
        "The audit file cannot be written, and `audit.on_failure` is `deny`.",
        "Tell the operator of this host: the disk may be full.",
        "`audit.on_failure: continue`",
    ),
    "request.body-duplicate": OwnRule(
        "A body must give each field once",
        "Nor may it give a field in two spellings, `Image` and `image`: dockerd ignores case, and "
        "JSON decoders differ on which of two values counts.",
        "Give the field once.",
    ),
    "request.body-form": OwnRule(
        "A form body must not override the query",
        "Parameters of a form take precedence over the query, and dockerd does not send forms to "
        "plugins.",
        "Give parameters in the query. Send no Content-Type without a body, and archives as "
        "application/x-tar.",
    ),
    "request.body-json": OwnRule(
        "A body must be the JSON of one value",
        "JSON decoders differ on text after the value, broken Unicode and NaN, so dockerd might "
        "read another value than the policy.",
        "Send one JSON value in UTF-8.",
    ),
    "request.body-old-shape": OwnRule(
        "A field must mean the same to every engine",
        "Engines before 25 use the body of a start as a new HostConfig; engines before 27 also "
        "read fields of HostConfig at the top level.",
        "Give the field where the denial says, when the container is created.",
    ),
    "request.body-size": OwnRule(
        "A body must be of ordinary size",
        "A string is longer, or the number of entries greater, than any client needs, and the "
        "policy must decide on all of it within the deadline.",
        "Send less; the denial names the limit.",
    ),
    "request.body-type": OwnRule(
        "A field must be of its type",
        "dockerd would refuse the request, or convert the value.",
        "Correct the field that the denial names.",
    ),
    "request.body-withheld": OwnRule(
        "dockerd must send the body to the plugin",
        "dockerd sends plugins only bodies of type application/json, and engines without the fixes "
        "of CVE-2024-41110 and CVE-2026-34040 neither chunked bodies nor those of 1 MiB and more.",
        "Send it as application/json with a Content-Length, and below 1 MiB on such engines.",
    ),
    "request.certificate": OwnRule(
        "A client certificate must be readable",
        "The caller is not known if the certificate or the list of revoked certificates cannot be "
        "read.",
        "Use a certificate of X.509 version 3; otherwise tell the operator of this host.",
    ),
    "request.engine": OwnRule(
        "The policy engine must decide",
        "OPA is down, did not answer in time, or gave an answer that is not a decision.",
        "Try again; if it persists, tell the operator of this host.",
        "`ping.without_engine: true`, for pings only",
    ),
    "request.healthcheck": OwnRule(
        "A health check must have a form that Docker documents",
        "The forms are: no test, which means the image's; NONE; CMD-SHELL with one command; CMD "
        "with a program and its arguments. Engines interpret other forms differently, and some can "
        "do harm. The rule applies to containers, services and commits under every profile, but "
        "not to the changes of a commit or an import, which Docker's parser converts to one of "
        "these forms, nor to an image's own check, which dockerd does not send to plugins.",
        "Give the test as docker run --health-cmd does: CMD-SHELL and one command.",
    ),
    "request.internal": OwnRule(
        "The plugin must not fail",
        "A defect of the plugin; its log names the place, with the decision id.",
        "Tell the operator of this host the decision id.",
    ),
    "request.message": OwnRule(
        "dockerd's message must be complete",
        "The message does not have the form in which dockerd sends it. dockerd itself sends an "
        "empty message when it retries after a broken connection.",
        "Try again.",
    ),
    "request.query": OwnRule(
        "A query must have one meaning",
        "It contains an invalid escape, a control character, a semicolon, or a repeated parameter "
        "of which dockerd reads only the first value.",
        "Encode the query, and give the parameter once.",
    ),
    "request.unknown-operation": OwnRule(
        "An operation must be known",
        "No supported engine has such a route, so its effect is not known.",
        "Use one of the [operations](operations.md).",
    ),
    "request.uri": OwnRule(
        "A path must be clean",
        "It contains `//`, `/./`, `/../`, invalid escapes or control characters.",
        "Send the path as listed under [operations](operations.md).",
    ),
}
"""Rules of the plugin: for requests that it denies without a decision of OPA."""

DECISION_RULES: Final[Mapping[str, OwnRule]] = {
    "request.policy": OwnRule(
        "Every rule package must answer",
        "A package of the policy is missing, and so are its denials.",
        "Tell the operator of this host, who must restore the policy's files.",
    ),
    "exceptions.expiring": OwnRule(
        "An exception ends soon",
        "This is not a denial but a warning in the log: what the exception allows is denied after "
        "its last day.",
        "Have the exception renewed, or do without what it allows.",
        "`exceptions`, with a later `expires`",
    ),
}
"""Rules of ``decision.rego`` itself, outside of the rule packages."""

OWN_RULES: Final[Mapping[str, OwnRule]] = {**PLUGIN_RULES, **DECISION_RULES}
"""All these rules by their ids."""
