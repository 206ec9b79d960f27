"""What operators and policy authors run beside the plugin; no part of the plugin imports it."""
