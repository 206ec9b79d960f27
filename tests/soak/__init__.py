"""Endurance: a guarded dockerd under mixed load, while its policy changes and its OPA dies."""
