"""`python -m portico`: the same as the `portico` command."""

from __future__ import annotations

import sys

from portico.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
