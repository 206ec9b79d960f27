"""``opa-authz explain``: the rules that deny a request, and a configuration that would allow it.

``subjects`` reads requests and decision records, ``capture`` runs a Docker command line against
``stub_daemon`` for its requests. ``reasons`` decides on requests and names the rules, ``changes``
searches the smallest change of the configuration among ``candidates``, ``marks`` tells what each of
them makes possible, ``report`` formats both.
"""
