"""What building and measuring the plugin needs; nothing of it is installed."""
