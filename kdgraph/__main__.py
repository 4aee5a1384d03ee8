"""``python -m kdgraph``: the command line."""

import sys

from kdgraph.cli import main

if __name__ == "__main__":
    sys.exit(main())
