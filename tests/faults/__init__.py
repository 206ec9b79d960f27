"""What breaks around the plugin, broken: no answer is wrong, none hangs, and all is mended."""
