"""Does a TorchScript file answer, in the PyTorch that runs this script, as it did when written?

    python check_torchscript.py out/model/model.pt out/golden

The folder is one that ``img2imu export --golden DIR`` wrote. Needs torch and numpy, nothing else:
meant for an environment with the PyTorch of phones, 1.13.1.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch


def check(path: str, folder: str) -> str:
    """Compare the file's logits with the golden ones, together and one by one.

    Returns what was found, in a sentence; exits with one if they differ.
    """
    extra = {"metadata.json": ""}
    module = torch.jit.load(path, map_location="cpu", _extra_files=extra)
    metadata = json.loads(extra["metadata.json"])
    golden = json.loads(Path(folder, "golden.json").read_text())
    inputs = _read(folder, golden, f"{metadata['input']}s")
    if metadata["input"] == "image" and inputs.shape[1] == 1:
        inputs = inputs[:, 0]
    expected = _read(folder, golden, "logits")
    place = metadata["outputs"].index("logits")
    with torch.no_grad():
        together = module(inputs)[place].numpy()
        alone = torch.cat([module(one[None])[place] for one in inputs]).numpy()
    gap = np.maximum(np.abs(together - expected.numpy()), np.abs(alone - expected.numpy()))
    tolerance = golden["tolerance"]
    allowed = tolerance["logits"] + tolerance["logits_relative"] * expected.abs().numpy().max(1)
    if metadata["input"] == "window":
        allowed = allowed + _read(folder, golden, "logits_rounding").numpy()
    found = (
        f"{path} in torch {torch.__version__}: logits of {len(inputs)} golden windows "
        f"within {gap.max():.1e}"
    )
    # Written so that a NaN, too, counts as a difference.
    if not (gap.max(1) <= allowed).all():
        sys.exit(f"{found}: more than allowed")
    return found


def _read(folder: str, golden: dict, name: str) -> torch.Tensor:
    entry = golden["arrays"][name]
    values = np.fromfile(Path(folder, entry["file"]), entry["dtype"])
    return torch.from_numpy(values.reshape(entry["shape"]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(check(*sys.argv[1:]))
