"""Where the toolkit keeps what it can compute or download again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$IMG2IMU_CACHE``, else ``img2imu`` in the user's cache folder."""
    if os.environ.get("IMG2IMU_CACHE"):
        return Path(os.environ["IMG2IMU_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "img2imu"
