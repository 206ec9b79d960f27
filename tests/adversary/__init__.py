"""Denied requests, written in every other way that dockerd reads the same: all must stay denied.

``requests`` holds a request that can be changed, ``respellings`` the other ways to write one,
``campaign`` has each shipped profile decide on all of them. The requests come from the ledger of
fields (``tests/ledger``): each of its rows has a value that a rule denies.
"""
