"""What is wrong with this host, as an experienced colleague would look for it.

``host`` gathers what can be seen, each of ``engine``, ``dockerd``, ``access``, ``workloads`` and
``guard`` looks at one side of it, and ``examination`` asks them all. Nothing is changed.
"""
