"""``python -m authz_plugin``: the same as the command ``opa-authz``."""

from authz_plugin.cli import main

main()
