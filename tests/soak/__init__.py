"""Endurance test: load on a dockerd with the plugin, policy reloads and killed OPA processes."""
