"""``python -m rusttorch``: the ``rusttorch`` command."""

import sys

from rusttorch._cli import main

if __name__ == "__main__":
    sys.exit(main())
