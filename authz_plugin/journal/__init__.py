"""The journal: what was decided, for people and machines that read logs."""
