"""Compares the embedded engine with OPA's server: the same decision on every input document.

``python -m tests.same_decisions`` asks both about the documents of ``documents`` under every
shipped profile, and about as many changed documents as it is told.
"""
