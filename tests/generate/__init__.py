"""Files that are made from others, so that the two cannot drift apart."""
