"""``opa-authz learn``: the smallest configuration that allows the requests of an audit file.

``baseline`` makes the configuration that a proposal starts from. ``denials`` derives from a denial
the change of the configuration that it asks for, and ``paths`` the danger of a mounted path.
``survey`` decides the recorded requests again and counts those changes, ``roots`` generalizes paths
and images, ``proposal`` builds a configuration and tests it, and ``report`` prints it.
"""
