"""``python -m benchmarks.steps [CONFIG] [-o RESULT]``."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.steps.measure import measure
from benchmarks.steps.page import RESULT
from kdgraph.atomic import replacing

CONFIG = Path(__file__).with_name("config.json")


def main() -> int:
    """Measure what a configuration says, and write one JSON file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.steps",
        description="Time of steps and look-ups of encoders, against nn.Embedding.",
    )
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    found = measure(json.loads(arguments.config.read_text()))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.output) as file:
        file.write(f"{json.dumps(found, indent=1)}\n".encode())
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
