"""The command; see the package."""

import sys

from rusttorch.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
