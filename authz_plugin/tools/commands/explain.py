"""``opa-authz explain``: why a request is denied, and what would allow it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import edited_option, load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, json_option, print_json, print_line, working
from authz_plugin.errors import SettingsError
from authz_plugin.journal.recording import restored
from authz_plugin.tools import sandbox
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.commands.endpoint import client_of_file
from authz_plugin.tools.commands.grant_option import (
    current_grants,
    grant_option,
    warn_of_unmet,
)
from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation import capture, report
from authz_plugin.tools.explanation.candidates import Change
from authz_plugin.tools.explanation.reasons import Explainer, Explanation
from authz_plugin.tools.explanation.stub_daemon import CONTAINER_ID
from authz_plugin.tools.explanation.subjects import DECISION_ID, find_record, read_subject

Given = bytes | Request | Mapping[str, Any]
"""An AuthZReq message, an HTTP request or a decision record."""


@click.command()
@policy_options
@edited_option
@click.option("--user", metavar="NAME", help="Ask as this TLS user.")
@click.option(
    "--cert",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask as the holder of this client certificate (PEM).",
)
@click.option(
    "--log",
    metavar="FILE",
    help="Where to look a decision's id up: audit file or log; - is input.  [default: audit.file]",
)
@grant_option
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Print how allowed requests were read, too.")
@click.argument("subject", nargs=-1, required=True, type=click.UNPROCESSED)
def explain(
    subject: tuple[str, ...],
    policy: Path | None,
    named: tuple[str, ...],
    *,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    r"""Say why a request is denied, and what would allow it.

    SUBJECT is one of:

    \b
      ID           a decision's id, looked up in --log; with what it was made
                   of if that was recorded (audit.inputs)
      FILE or -    a request: dockerd's message to a plugin as JSON, raw
                   HTTP, or a decision record
      -- COMMAND   a Docker command line; docker is run with a stub daemon
                   that keeps its requests, no real daemon receives them

    The policy of your settings decides, as in the plugin. You see how the request was read, who
    asks, each rule that denied or warned with its file and line, and the smallest change of
    configuration that would allow it, which is tried on the policy before it is shown.

    What leads out of a container (privileged mode, the host's namespaces, devices and system
    paths, the Docker socket, plugins and the like), removes a requirement of your configuration
    or may allow more than the request is withheld: what it means is printed, and the change
    itself only if you name it with --grant.

    \b
    Exit status: 0 everything would be allowed, 3 something would be denied,
    1 it cannot be explained, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz explain -- docker run -v /etc:/x alpine
      journalctl -u opa-authz -o cat | opa-authz explain 3f2a9c0d51e7b846 --log -
      opa-authz explain --profile devcontainer --user alice request.http
      opa-authz explain --policy ./policies -- docker ps
      opa-authz explain --grant capabilities.add=SYS_ADMIN request.http
    """
    client = _client(options.pop("user"), options.pop("cert"))
    log = options.pop("log")
    settings = load_settings(options)
    gate = Gate(current_grants(named, settings))
    if log is None and settings.audit.file is not None:
        log = str(settings.audit.file)
    with sandbox.open_sandbox(settings, policy) as opened:
        if _is_command(subject):
            opened.assume_container(CONTAINER_ID)
        explainer = Explainer(opened)
        requests: list[tuple[str, sandbox.Subject]] = []
        records: list[Mapping[str, Any]] = []
        for title, item in _given(subject, log):
            if isinstance(item, Mapping):
                records.append(item)
                requests += _recorded_input(item)
            else:
                message = authz_message(item, client) if isinstance(item, Request) else item
                requests.append((title or _title(message), message))
        with working(f"explaining {len(requests)} requests"):
            explained = [explainer.explain(title, request) for title, request in requests]
        denied = sum(not explanation.judgement.allow for explanation in explained)
        change = explainer.change_for([request for _, request in requests]) if denied > 1 else None
        if as_json:
            _print_json(explained, records, change, gate)
        else:
            for record in records:
                _print_lines(report.record_lines(record, explainer.sources))
                print_line("")
            _print(explained, denied, change, gate, verbose=verbose)
    warn_of_unmet(gate.unmet)
    if denied or any(record.get("verdict") != "allow" for record in records):
        sys.exit(EXIT_NO)


def _print_json(
    explained: Sequence[Explanation],
    records: Sequence[Mapping[str, Any]],
    change: Sequence[Change] | None,
    gate: Gate,
) -> None:
    print_json(
        requests=[report.to_document(explanation, gate) for explanation in explained],
        records=[{k: v for k, v in record.items() if k != "input"} for record in records],
        change_for_all=report.change_document(change, gate),
    )


def _print(
    explained: Sequence[Explanation],
    denied: int,
    change: Sequence[Change] | None,
    gate: Gate,
    *,
    verbose: bool,
) -> None:
    folded = False
    for explanation in sorted(explained, key=lambda one: one.judgement.allow):  # denied ones first
        facts = verbose or len(explained) == 1 or not explanation.judgement.allow
        folded = folded or not facts
        _print_lines(report.lines(explanation, gate, facts=facts))
        if facts:
            print_line("")
    if folded:
        print_line("")
    if denied > 1:
        _print_lines(report.change_lines(change, "all of this", gate))
        print_line("")
    if len(explained) > 1:
        print_line(f"{len(explained)} requests, {denied} denied", "bad" if denied else "good")
    if folded:
        print_line("--verbose prints how the allowed ones were read.")


def _print_lines(lines: Iterator[report.Line]) -> None:
    for style, text in lines:
        print_line(text, style)


def _client(user: str | None, cert: Path | None) -> Client:
    if user is not None and cert is not None:
        raise SettingsError("--user", "", "leave it out: the certificate of --cert names the user")
    return client_of_file(cert) if cert is not None else Client(user or "")


def _recorded_input(record: Mapping[str, Any]) -> Iterator[tuple[str, sandbox.Subject]]:
    """Yield a title and the recorded input document of a decision, if there is one."""
    document = restored(record["input"]) if record.get("input") else None
    if document is not None:
        yield f"decision {record['decision_id']}, once more by this policy", document


def _given(words: tuple[str, ...], log: str | None) -> Iterator[tuple[str, Given]]:
    """Yield what is to be explained, each with a title, which is empty if it has none."""
    if _is_command(words):
        yield from _command(words)
    elif words[0] == "-":
        yield "", read_subject(sys.stdin.buffer.read())
    elif Path(words[0]).is_file():
        yield "", read_subject(Path(words[0]).read_bytes())
    elif DECISION_ID.fullmatch(words[0]):
        yield "", find_record(words[0], _log_lines(log))
    else:
        raise SettingsError(
            words[0],
            "",
            "is neither a decision's id, nor a file, nor a Docker command line behind --",
        )


def _is_command(words: tuple[str, ...]) -> bool:
    return len(words) > 1 or Path(words[0]).name in capture.PROGRAMS


def _command(words: tuple[str, ...]) -> Iterator[tuple[str, Given]]:
    captured = capture.capture(words, os.environ)
    for request in captured.requests:
        yield f"{request.method} {request.target}", request
    if captured.status != 0:
        how = "was stopped" if captured.status is None else f"ended with {captured.status}"
        error = f": {captured.stderr}" if captured.stderr else ""
        click.echo(
            f"opa-authz: {words[0]} {how}{error}; what it would have asked next is not known",
            err=True,
        )


def _log_lines(log: str | None) -> Iterator[str]:
    if log is None:
        raise SettingsError(
            "--log", "", "name the audit file or log to look the decision up in, or - for input"
        )
    if log == "-":
        yield from sys.stdin
        return
    try:
        with Path(log).open(encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError as error:
        raise SettingsError("--log", "", f"{log} cannot be read: {error.strerror}") from error


def _title(message: bytes) -> str:
    fields = json.loads(message)
    return f"{fields.get('RequestMethod', '')} {fields.get('RequestUri', '')}"
