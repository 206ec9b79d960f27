"""Tests that denied requests are denied in every equivalent form that dockerd accepts.

``seeds`` makes denied requests of the ledger's witnesses (``tests/ledger``), ``respellings`` has
the equivalent forms, and ``campaign`` has each shipped profile decide on all of them.
"""
