"""``opa-authz learn``: the smallest configuration that allows the requests of an audit file.

``baseline`` makes the configuration that a proposal starts from. ``survey`` decides the recorded
requests again and counts the changes that the denials ask for, ``roots`` generalizes paths and
images, ``proposal`` builds a configuration and tests it, and ``report`` prints it.
"""
