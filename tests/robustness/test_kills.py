"""Some kills of the writing commands but the slow ones; ``kills.py --kills 100`` tries more."""

import subprocess
import sys
from pathlib import Path

KILLS = Path(__file__).with_name("kills.py")


def test_a_killed_command_gives_the_same_when_repeated() -> None:
    command = [sys.executable, str(KILLS), "--kills", "5", "--most", "1", "--quick", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout
    rows = [line.rsplit(maxsplit=4) for line in done.stdout.splitlines()[1:]]
    assert len(rows) >= 6
    assert sum(int(row[1]) for row in rows) >= 5
    assert all(int(files) > 0 and failures == "0" for _, _, _, files, failures in rows)
