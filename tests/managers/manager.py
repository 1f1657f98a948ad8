#!/usr/bin/env python3
"""Install, start and stop a published Backend.AI server: ``manager.py RELEASE ACTION``."""

import sys

from lab.main import main

if __name__ == "__main__":
    sys.exit(main())
