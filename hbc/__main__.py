import sys

from hbc.cli import main

sys.exit(main())
