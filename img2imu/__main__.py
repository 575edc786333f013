"""``python -m img2imu``."""

import sys

from .cli import main

sys.exit(main())
