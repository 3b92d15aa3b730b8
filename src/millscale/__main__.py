"""``python -m millscale`` is the ``millscale`` command."""

from millscale.cli.main import main

main()
