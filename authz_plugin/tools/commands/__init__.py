"""The operator's commands: each parses its command line, calls one tool and prints."""
