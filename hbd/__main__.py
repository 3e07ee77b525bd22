"""``python -m hbd``."""

import sys

from hbd.cli import main

sys.exit(main())
