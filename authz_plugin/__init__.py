"""A Docker authorization plugin: dockerd asks, Open Policy Agent decides, this answers."""

__version__ = "0.1.0"
