"""Which attacks on the Docker API does an endpoint stop? Tried on the endpoint itself.

``row`` is what an attack is, ``catalogue`` holds all of them; ``staging`` is what they stand on,
``traces`` removes what they make, ``verdict`` reads how they ended, ``campaign`` tries them and
``report`` tells how that went.
"""
