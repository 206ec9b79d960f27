"""Checks whether the service that collects the decisions of a fleet takes them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Final

import requests

from authz_plugin.settings import Settings
from authz_plugin.tools.doctor.finding import Finding

_LIMIT: Final = 10.0
_NOTHING: Final = gzip.compress(b"[]")
"""An upload without events."""


def check_uploads(settings: Settings) -> Iterator[Finding]:
    """Upload no decisions, as OPA would upload some, if the settings say that it does."""
    fleet = settings.fleet
    if fleet is None or not fleet.decisions:
        return
    service = fleet if fleet.receiver is None else fleet.receiver
    url = f"{service.url.rstrip('/')}/logs"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    own, key = service.certificate, service.client_key
    try:
        if service.token_file is not None:
            headers["Authorization"] = f"Bearer {service.token_file.read_text().strip()}"
        answer = requests.post(
            url,
            data=_NOTHING,
            headers=headers,
            verify=True if service.ca is None else str(service.ca),
            cert=None if own is None or key is None else (str(own), str(key)),
            timeout=_LIMIT,
            allow_redirects=False,
        )
    except (requests.RequestException, OSError) as error:
        yield _not_taken(f"{url} cannot be reached: {type(error).__name__}")
        return
    if answer.is_redirect:
        yield Finding(
            "uploads.redirected",
            "warning",
            f"{url} redirects uploads of decisions ({answer.status_code})",
            "OPA takes the answer of the target for that of the service; after 301, 302 and 303 it "
            "sends no decisions there, and they are lost",
            "name the service in fleet.receiver that takes them itself",
        )
    elif not answer.ok:
        yield _not_taken(f"{url} does not take decisions: {answer.status_code} {answer.reason}")
    else:
        yield Finding("uploads.service", "ok", f"{url} takes decisions")


def _not_taken(what: str) -> Finding:
    return Finding(
        "uploads.service",
        "warning",
        what,
        "decisions wait in the spool, and are lost for the service once that is full",
        "correct fleet.receiver, or the service",
    )
