"""Does a running daemon keep what its configuration promises? Tried on the daemon itself.

``probes`` and ``boundaries`` are the requests, ``promises`` what the configuration says of them,
``checks`` tries them and ``report`` tells how that went.
"""
