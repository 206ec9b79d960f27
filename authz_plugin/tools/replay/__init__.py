"""What would be decided otherwise by another policy?

``corpus`` reads requests that somebody wrote down, ``verdicts`` has what was and what would be
decided of each, from records or from policies, ``changes`` groups where the two differ, and
``report`` tells it.
"""
