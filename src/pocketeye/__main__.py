"""Run ``python -m pocketeye``."""

import sys

from pocketeye.cli import main

if __name__ == "__main__":
    sys.exit(main())
