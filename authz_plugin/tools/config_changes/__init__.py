"""The changes of the policy configuration that denials ask for, and the danger of each.

``explain`` and ``learn`` propose the same changes and withhold the same. ``steps`` are the parts of
a change, ``denials`` derives the changes and their dangers from the annotations of rules, ``paths``
knows the danger of a mounted path, and ``gate`` withholds dangerous changes until ``--grant`` names
them.
"""
