"""Tests of what ``make deb`` makes: long, and run by a target of their own."""
