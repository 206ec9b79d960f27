"""``opa-authz replay``: which decisions another policy changes.

``corpus`` reads files of requests, ``verdicts`` decides on recorded requests again, ``changes``
groups those whose verdict differs, and ``report`` formats the result.
"""
