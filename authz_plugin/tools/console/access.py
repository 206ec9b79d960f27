"""Who may use the console: whoever opened its link, from its own pages.

The link holds a token that is good once and for some minutes. It is exchanged for a session, whose
secret is in a cookie, and whose CSRF token each form and request of htmx carries.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LINK_LIFETIME: Final = 600.0
"""Seconds for which a link may be opened."""

SESSION_LIFETIME: Final = 12 * 3600.0
"""Seconds after which a session ends, whether it is used or not."""

_MOST_SESSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that opened the link; ``secret`` is in its cookie, ``csrf`` in its pages."""

    secret: str
    csrf: str
    ends: float


class Access:
    """The link and the sessions; they live as long as the process. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._token_ends = 0.0
        self._sessions: list[Session] = []

    def new_token(self) -> str:
        """Make the token of a new link; that of a former link is good no more."""
        with self._lock:
            self._token = secrets.token_urlsafe(32)
            self._token_ends = self._clock() + LINK_LIFETIME
            return self._token

    def enter(self, token: str) -> Session | None:
        """Exchange the token of the link for a new session; None if it is not good, or no more."""
        with self._lock:
            known, now = self._token, self._clock()
            if known is None or not _same(known, token) or now >= self._token_ends:
                return None
            self._token = None
            session = Session(
                secrets.token_urlsafe(32), secrets.token_urlsafe(32), now + SESSION_LIFETIME
            )
            self._sessions = [*self._sessions, session][-_MOST_SESSIONS:]
            return session

    def session(self, secret: str) -> Session | None:
        """Return the session whose cookie holds this secret, if it has not ended."""
        now = self._clock()
        with self._lock:
            self._sessions = [one for one in self._sessions if now < one.ends]
            found = [one for one in self._sessions if _same(one.secret, secret)]
        return found[0] if found else None


def is_from(session: Session, csrf: str) -> bool:
    """Whether a CSRF token is that of the session."""
    return _same(session.csrf, csrf)


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode("utf-8", "surrogateescape"))
