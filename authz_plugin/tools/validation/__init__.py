"""``opa-authz validate``: tests a running daemon against the configuration of its plugin.

``probes``, ``boundaries`` and ``limits`` are the requests (``attempts``), ``expected_policy`` says
what the configuration allows. ``runner`` sends the requests, ``checks`` evaluates what dockerd did,
and ``report`` formats the results.
"""
