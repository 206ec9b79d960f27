"""The commands of the operator's tools: each parses its options, calls a tool and prints."""
