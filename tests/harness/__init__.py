"""Real parts for the tests and the demo: dockerd from Debian's packages, the plugin, clients."""
