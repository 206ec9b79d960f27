"""Compliance as evidence: which controls of the known standards hold on this host, and why.

``standards/`` says what supports each control, ``configured`` what the configuration in force asks
and lifts, ``judgement`` weighs that against what validation and doctor saw, ``report`` is the
outcome, which ``markdown`` and ``webpage`` write down. ``saved`` reads earlier results. No control
is met by being claimed: something must have been tried, and have held.
"""
