"""``opa-authz report``: which controls of known standards a host meets, with evidence.

``controls`` reads from ``standards/`` what supports each control. ``configured`` evaluates the
configuration in force and ``assessment`` the results of ``validate`` and ``doctor``. ``report``
joins them, ``markdown`` and ``webpage`` format it, and ``saved`` reads earlier results. A control
is met only if a check of it was carried out and passed.
"""
