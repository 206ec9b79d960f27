"""The socket for metrics and health, and who may read them, as the settings name them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from authz_plugin.errors import SetupError
from authz_plugin.journal.scrape import Scrape, read_token, tls_context
from authz_plugin.listener import open_address
from authz_plugin.settings import Metrics


def open_metrics(metrics: Metrics, say: Callable[[str], None]) -> socket.socket | None:
    """The socket for metrics and health, or None if they are off.

    Raises ``SetupError`` if the address in the settings cannot be opened, or a file of its TLS not
    be used. If the default address cannot be opened, the plugin runs without metrics and reports
    that with ``say``.
    """
    if metrics.listen == "off":
        return None
    try:
        _guards(metrics)
        return open_address(metrics.listen)
    except SetupError as error:
        if not metrics.is_default:
            raise
        say(f"metrics and health are not served, name an address of your own: {error}")
        return None


def scrape(metrics: Metrics, listener: socket.socket) -> Scrape:
    """An open socket with the TLS and the token for it; raises ``SetupError``."""
    return Scrape(listener, *_guards(metrics))


def metrics_address(metrics: Metrics, listener: socket.socket | None) -> str:
    """Where metrics are served, for messages."""
    if listener is None:
        return "off"
    tls = "" if metrics.certificate is None or metrics.key is None else " with TLS"
    return f"{metrics.listen}{tls} (/metrics, /healthz, /readyz)"


def _guards(metrics: Metrics) -> tuple[ssl.SSLContext | None, bytes | None]:
    """The TLS and the token that the settings ask for; ``settings.load`` has checked that what
    other hosts reach has them. Raises ``SetupError``."""
    if metrics.certificate is None or metrics.key is None:
        return None, None
    token = None if metrics.token_file is None else read_token(metrics.token_file)
    return tls_context(metrics.certificate, metrics.key, metrics.client_ca), token
