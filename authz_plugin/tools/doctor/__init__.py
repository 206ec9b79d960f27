"""``opa-authz doctor``: checks of a host's Docker installation. Nothing on the host is changed.

``host`` reads the facts. ``engine``, ``dockerd``, ``hardening``, ``access``, ``workloads`` and
``enforcement`` hold the checks of one subject each. ``examination`` runs all of them.
"""
