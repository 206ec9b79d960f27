"""How the services of a fleet bear many hosts: ``make fleet-scale``."""
