"""What tells one input, or one way of computing, from another: keys of what is kept on disk."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

LIBRARIES = ("numpy", "scikit-learn", "timm", "torch")
"""Those whose arithmetic the results are made of."""


def content_hash(*parts: Any) -> str:
    """SHA-256 over arrays, tensors and JSON values, in order: 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        array = part if isinstance(part, np.ndarray) else _as_array(part)
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:32]


@lru_cache
def code_hash(*modules: str) -> str:
    """Of the code of modules and packages, and of the libraries that compute for them.

    Comments, docstrings and layout do not count: what is kept stays valid until something may be
    computed differently.

    Parameters
    ----------
    modules
        Full names; of a package all its modules count.
    """
    digest = hashlib.sha256()
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)}".encode())
    for name in modules:
        for path in _sources(name):
            digest.update(path.name.encode())
            digest.update(ast.dump(_without_docstrings(path)).encode())
    return digest.hexdigest()[:32]


def _as_array(part: Any) -> np.ndarray[Any, Any] | None:
    """A tensor's values; None for anything else. Torch need not be imported to tell."""
    return part.detach().cpu().contiguous().numpy() if hasattr(part, "detach") else None


def _sources(name: str) -> list[Path]:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    if spec.submodule_search_locations:
        return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))
    return [Path(spec.origin)]


def _without_docstrings(path: Path) -> ast.Module:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands for itself: a docstring, or one that tells of a constant.
            node.body = [  # type: ignore[attr-defined]
                each
                for each in body
                if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
    return tree
