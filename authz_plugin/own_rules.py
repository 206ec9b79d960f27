"""The rules that no rule package holds: the plugin's own, and those of the decision as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A rule of the plugin or of ``decision.rego``.

    ``opens`` is the setting that opens it, as Markdown; empty where no setting does. Neither
    ``rules`` of the policy configuration nor an exception can name such a rule.
    """

    title: str
    description: str
    remedy: str
    opens: str = ""


PLUGIN_RULES: Final[Mapping[str, OwnRule]] = {
    "request.audit": OwnRule(
        "What is allowed must be recorded",
        "The audit file cannot be written, and the operator wants no unrecorded requests.",
        "Tell the operator of this host: the disk may be full.",
        "`audit.on_failure: continue`",
    ),
    "request.body-duplicate": OwnRule(
        "A body must give each field once",
        "Also not in two spellings, `Image` and `image`: dockerd folds case, and readers differ on "
        "which of two values counts.",
        "Give the field once.",
    ),
    "request.body-form": OwnRule(
        "No form may stand behind a query",
        "dockerd reads a form's parameters ahead of the query and shows no plugin a form.",
        "Give parameters in the query. Send no Content-Type where there is no body, and archives "
        "as application/x-tar.",
    ),
    "request.body-json": OwnRule(
        "A body must be the JSON of one value",
        "Where readers of JSON differ (text after the value, broken Unicode, NaN), dockerd might "
        "see something else than the policy.",
        "Send one JSON value in UTF-8.",
    ),
    "request.body-old-shape": OwnRule(
        "A field must mean the same to every engine",
        "Engines before 25 take a start's body for a new HostConfig, those before 27 read some "
        "fields at another place than later ones.",
        "Give the field where the denial says, when the container is created.",
    ),
    "request.body-size": OwnRule(
        "A body must be of ordinary size",
        "A text or the number of entries is beyond what any client needs, and every fact of it "
        "would have to be judged in time.",
        "Send less; the denial names the limit.",
    ),
    "request.body-type": OwnRule(
        "A field must be of its type",
        "dockerd would refuse the request, or read something of its own into it.",
        "Correct the field that the denial names.",
    ),
    "request.body-withheld": OwnRule(
        "A body that matters must be visible",
        "dockerd shows a plugin only bodies of type application/json, and engines without the "
        "fixes of CVE-2024-41110 and CVE-2026-34040 neither chunked ones nor those of 1 MiB and "
        "more.",
        "Send it as application/json with a Content-Length, and below 1 MiB on such engines.",
    ),
    "request.certificate": OwnRule(
        "A client certificate must be readable",
        "Who asks is not known if a certificate, or the list of those that were taken back, cannot "
        "be read.",
        "Use a certificate of X.509 version 3; otherwise tell the operator of this host.",
    ),
    "request.engine": OwnRule(
        "The policy engine must decide",
        "OPA is down, too slow, or gave an answer that is no decision.",
        "Try again; if it stays, tell the operator of this host.",
        "`ping.without_engine: true`, for pings alone",
    ),
    "request.healthcheck": OwnRule(
        "A health check must have a form that Docker documents",
        "No test at all, which is the image's; NONE; CMD-SHELL with one command; CMD with a "
        "program and its arguments. Engines differ in what they make of other forms, and some of "
        "it does harm. In containers, services and commits, under every profile. What the changes "
        "of a commit or an import bring, Docker's parser writes in one of these forms; an image's "
        "own check is not known to any plugin.",
        "Give the test as docker run --health-cmd does: CMD-SHELL and one command.",
    ),
    "request.internal": OwnRule(
        "The plugin must not fail",
        "A defect of the plugin; its log has the place under the decision id.",
        "Tell the operator of this host the decision id.",
    ),
    "request.message": OwnRule(
        "dockerd's message must be whole",
        "What the plugin was sent is not what a dockerd sends. An empty message comes from dockerd "
        "itself when it asks again after a broken connection.",
        "Try again.",
    ),
    "request.query": OwnRule(
        "A query must have one meaning",
        "It holds a broken escape, a control character, a semicolon, or a parameter twice of which "
        "dockerd reads the first only.",
        "Encode the query, and give the parameter once.",
    ),
    "request.unknown-operation": OwnRule(
        "An operation must be known",
        "No engine that is known here has such a route, so nobody can say what it does.",
        "Use one of the [operations](operations.md).",
    ),
    "request.uri": OwnRule(
        "A path must be clean",
        "It holds `//`, `/./`, `/../`, broken escapes or control characters.",
        "Send the path as the [operations](operations.md) have it.",
    ),
}
"""What the plugin denies before OPA is asked, and where OPA gives no decision."""

DECISION_RULES: Final[Mapping[str, OwnRule]] = {
    "request.policy": OwnRule(
        "Every rule package must answer",
        "A package of the policy is lost, and with it whatever it denies.",
        "Tell the operator of this host, who restores the policy's files.",
    ),
    "exceptions.expiring": OwnRule(
        "An exception ends soon",
        "No denial but a warning in the log: what an exception lets pass today is denied after its "
        "last day.",
        "Have the exception renewed, or do without what it lets pass.",
        "`exceptions`, with a later `expires`",
    ),
}
"""What ``decision.rego`` denies or warns about beside the rule packages."""

OWN_RULES: Final[Mapping[str, OwnRule]] = {**PLUGIN_RULES, **DECISION_RULES}
"""All of them by their ids."""
