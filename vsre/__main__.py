"""``python -m vsre`` is ``vsre``."""

import sys

from vsre.cli import main

sys.exit(main())
