"""A sample of the malformed inputs; ``fuzz.py --count 2000`` tries more."""

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz.py")


def test_malformed_inputs_are_refused_in_one_sentence() -> None:
    command = [sys.executable, str(FUZZ), "--count", "30", "--seed", "13"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout
    # The last line but one counts all cases: it ran them, and nearly all were refused.
    cases, accepted, refused, failures = map(int, done.stdout.splitlines()[-2].split()[1:])
    assert cases == 30 and failures == 0 and accepted + refused == cases and refused > 16
