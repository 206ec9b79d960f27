"""Why is a request denied, and what would allow it?

``subjects`` and ``recorder`` turn what an operator has in hand into requests, ``reasons`` has them
decided and finds the rules that spoke, ``changes`` looks for the smallest change of configuration
that allows them, and ``report`` tells it.
"""
