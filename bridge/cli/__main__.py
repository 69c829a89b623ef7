"""``python -m bridge.cli`` is ``flowbridge``."""

from bridge.cli.main import main

main()
