"""``opa-authz replay``: which decisions another policy would change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from authz_plugin.cli.options import edited_option, load_settings, policy_options
from authz_plugin.cli.terminal import EXIT_NO, Progress, json_option, print_json, print_line
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.journal.masking import masked_text
from authz_plugin.policy import profiles
from authz_plugin.settings import Settings
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.commands.audit_options import (
    AuditSpan,
    audit_file,
    file_option,
    span_options,
)
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.subjects import read_subject
from authz_plugin.tools.replay.changes import Comparison, compare
from authz_plugin.tools.replay.corpus import is_corpus, read_corpus
from authz_plugin.tools.replay.report import limits, lines, to_document
from authz_plugin.tools.replay.verdicts import (
    NotReplayed,
    replay_decisions,
    replay_messages,
)
from authz_plugin.tools.sandbox import open_sandbox


@click.command()
@file_option
@span_options
@policy_options
@edited_option
@click.option(
    "--against",
    metavar="FILE|PROFILE",
    help="The policy that decided before.  [default: what the audit file says]",
)
@json_option
@click.argument(
    "recorded",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
def replay(
    recorded: tuple[Path, ...],
    file: Path | None,
    *,
    since: datetime | None,
    until: datetime | None,
    policy: Path | None,
    against: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Show every decision that another policy changes, before it is rolled out.

    Decides what an audit file holds (audit.inputs) once more, by the policy of --config,
    --profile, --policies and --policy, and compares: with what was decided then, or with what the
    policy of --against decides. Decisions whose verdict changes, and denials by other rules than
    before, are shown in groups, each with examples.

    RECORDED are requests to decide instead of an audit file's: files and folders of dockerd's
    messages to a plugin as JSON, one a file or one a line, or of raw HTTP requests. They need
    --against.

    \b
    Exit status: 0 nothing changes, 3 something changes, 1 it could not be
    done, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz replay --since 24h --config proposal.yaml
      opa-authz replay --against /etc/opa-authz/config.yaml --config new.yaml
      opa-authz replay --against production --profile cis requests.jsonl
    """
    if recorded and (file is not None or since is not None or until is not None):
        raise SettingsError("--file", "", "and --since and --until go without RECORDED")
    if recorded and against is None:
        raise SettingsError("--against", "", "is needed: recorded requests have no decision")
    settings = load_settings(options)
    audit = None if recorded else audit_file(file, lambda: _with_file(settings))
    messages = list(_messages(recorded))
    not_replayed = NotReplayed()
    with ExitStack() as cleanup:
        sandbox = cleanup.enter_context(open_sandbox(settings, policy))
        former = None if against is None else cleanup.enter_context(open_sandbox(_former(against)))
        if audit is not None:
            progress = cleanup.enter_context(Progress("lines read"))
            span = AuditSpan(audit, since, until or datetime.now(UTC), progress.show)
            replayed = replay_decisions(span.decisions(), sandbox, former, not_replayed)
            comparison = compare(replayed)
            _check(comparison, audit)
            notes = limits(sandbox)
        else:
            assert former is not None
            comparison = compare(replay_messages(messages, sandbox, former))
            notes = []
    if as_json:
        print_json(**to_document(comparison, not_replayed, notes))
    else:
        for style, text in lines(comparison, not_replayed, notes):
            print_line(text, style)
    if not comparison.is_same:
        sys.exit(EXIT_NO)


def _with_file(settings: Settings) -> Settings:
    """Return these settings, or the default ones if these have no audit file."""
    return load_settings({}) if settings.audit.file is None else settings


def _former(against: str) -> Settings:
    """Return the settings of ``--against``: those of a file, or of a profile without a file."""
    if against in profiles():
        return load_settings({"config": "/dev/null", "profile": against})
    return load_settings({"config": against})


def _check(comparison: Comparison, file: Path) -> None:
    if not comparison.requests:
        raise SetupError(
            f"{file} has no decision of that time with its input: set audit.inputs to true, and "
            "replay what is decided from then on"
        )


def _messages(recorded: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    for path in recorded:
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        for file in files:
            for message in _read(file):
                yield _title(message), message


def _read(file: Path) -> Iterator[bytes]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SetupError(f"{file}: {error.strerror}") from error
    if is_corpus(data):
        yield from read_corpus(data, str(file))
        return
    try:
        subject = read_subject(data)
    except SetupError as error:
        raise SetupError(f"{file}: {error}") from error
    if isinstance(subject, Mapping):
        raise SetupError(f"{file}: is a decision record, which has no request to decide")
    yield authz_message(subject, Client()) if isinstance(subject, Request) else subject


def _title(message: bytes) -> str:
    """Return method and path of a message; the query is omitted, since it may hold secrets."""
    try:
        fields = json.loads(message)
        path, mark, _ = str(fields["RequestUri"]).partition("?")
        return masked_text(f"{fields['RequestMethod']} {path}{mark and '?…'}")
    except (KeyError, TypeError, ValueError):
        return "a message that is not understood"
