"""``python -m kdgraph``: the command line."""

import sys

from kdgraph.cli import main

sys.exit(main())
