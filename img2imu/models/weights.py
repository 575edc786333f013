"""Weights in and out: safe files only, batch norm folded into the convolutions where asked."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import InputError

StateDict = dict[str, Tensor]

REGISTRY = {"resnet18.img2imu_in1k": "resnet18.img2imu_in1k.safetensors"}
"""The toolkit's own pre-trained encoders, ``architecture.tag``, and their files in this folder."""


def read_tensors(path: Path) -> StateDict:
    """The tensors of a ``.safetensors`` file.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as a file of weights: {reason}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, with the permissions that any new file has."""
    from safetensors.torch import save

    path.write_bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}))


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a ``.safetensors`` file or of a torch checkpoint, as float32.

    A checkpoint is read with ``weights_only=True``: it can hold tensors but run no code. Tensors
    under ``state_dict``, ``model`` or ``teacher`` are found.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds something else than tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Mapping[str, object] = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # safetensors, zipfile and the unpickler each have exceptions of their own for damage.
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as a file of weights: {reason}") from None
    for key in ("state_dict", "model", "teacher"):
        inner = tensors.get(key) if isinstance(tensors, Mapping) else None
        if isinstance(inner, Mapping):
            tensors = inner
    if not isinstance(tensors, Mapping):
        raise InputError(f"{path} holds no weights by name")
    state = {name: value.float() for name, value in tensors.items() if isinstance(value, Tensor)}
    if not state:
        raise InputError(f"{path} holds no tensors")
    wrong = next((name for name, value in state.items() if not value.isfinite().all()), None)
    if wrong is not None:
        raise InputError(f"{path} is damaged: {wrong} holds numbers that are not finite")
    return state


def find_weights(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """A file of weights, and its architecture where the settings of a pre-training lie beside it.

    Parameters
    ----------
    path
        The file, or the folder of a pre-training.
    """
    found = Path(path)
    if found.is_dir():
        found = found / "encoder.safetensors"
    try:
        settings = json.loads((found.parent / "config.json").read_text(encoding="utf-8"))
        return found, str(settings["pretrain"]["encoder"])
    except (OSError, ValueError, TypeError, KeyError):
        return found, None


def token_blocks(path: Path) -> int | None:
    """How many blocks the encoder of a file has; None if it is not one of tokens."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
    except (SafetensorError, OSError):
        return None  # What is wrong with it is told where it is read.
    if not any(name.startswith("view_embed.") for name in names):
        return None
    return len({name.split(".")[2] for name in names if name.startswith("model.blocks.")})


def write_shipped(path: Path, state: StateDict) -> None:
    """Write an encoder as it is shipped: convolutions in float16, norms as they are."""
    write_tensors(path, {k: v.half() if v.ndim == 4 else v for k, v in state.items()})


def load_weights(model: nn.Module, state: StateDict, origin: str) -> nn.Module:
    """Load `state` into `model`, folding its batch norm first where the file has it folded.

    Prefixes (``module.encoder_q.``, ``backbone.``) are recognised and heads left out. Stages of
    the model must be in the file; stages of the file that the model does not have are ignored.

    Returns
    -------
    nn.Module
        The model with the weights, in evaluation mode.

    Raises
    ------
    InputError
        If the file lacks a tensor of the model or one has another shape.
    """
    state = _strip_prefix(model, state)
    norms = {name for name, part in model.named_modules() if isinstance(part, nn.BatchNorm2d)}
    if norms and not any(f"{name}.weight" in state for name in norms):
        model = fold_batch_norm(model)
    wanted = model.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = sorted(set(wanted) - set(state) - counters)
    if missing:
        stages = sorted({name.split(".")[0] for name in missing})
        raise InputError(
            f"{origin} lacks {len(missing)} tensors of this encoder, in {', '.join(stages)}: "
            "read an earlier stage or give other weights"
        )
    _require_shapes(wanted, state, origin)
    model.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
    return model.eval()


def start_from(
    model: nn.Module, state: StateDict, origin: str, images: Tensor | None = None
) -> None:
    """Load what `state` has of `model`, to train on; what it lacks stays as it is.

    Batch norm that the file has folded into its convolutions is made anew, from `images`.

    Parameters
    ----------
    model
        Changed in place.
    state, origin
        Tensors by name, and where they come from.
    images
        Normalised, (n, 3, height, width), needed for a folded file only. The network in evaluation
        mode is the folded one whatever they are; the nearer they are to the images of the
        original training, the nearer its batch norm is to the one that was lost.

    Raises
    ------
    InputError
        If nothing fits, a tensor has another shape, or there are no images for a folded file.
    """
    state = _strip_prefix(model, state)
    wanted = model.state_dict()
    shared = [name for name in wanted if name in state]
    if not shared:
        raise InputError(f"{origin} holds no tensor of this encoder")
    folded = {
        norm: f"{conv}.bias"
        for conv, norm in _folding_pairs(model)
        if f"{conv}.weight" in state and f"{norm}.running_var" not in state
    }
    if not all(bias in state for bias in folded.values()):
        raise InputError(f"{origin} has convolutions without their batch norm")
    if folded and images is None:
        raise InputError(
            f"{origin} has its batch norm folded into the convolutions: training on it needs images"
        )
    biases = {bias: wanted[f"{norm}.bias"] for norm, bias in folded.items()}
    _require_shapes(wanted | biases, state, origin)
    model.load_state_dict({name: state[name] for name in shared}, strict=False)
    if folded and images is not None:
        _revive_batch_norm(model, {norm: state[bias] for norm, bias in folded.items()}, images)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of `model` in evaluation mode whose batch norms live inside the convolutions.

    Less to compute and to store, and the same function: the copy is compared with the original
    on noise, and where the two differ (a norm that does not follow its convolution) the original
    is returned unfolded.
    """
    model = model.eval()
    folded = copy.deepcopy(model)
    for conv, norm in _folding_pairs(model):
        before, behind = folded.get_submodule(conv), folded.get_submodule(norm)
        assert isinstance(before, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d)
        folded.set_submodule(conv, fuse_conv_bn_eval(before, behind))
        # timm's BatchNormAct2d carries the activation, which must stay.
        folded.set_submodule(norm, getattr(behind, "act", nn.Identity()))
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pairs = zip(_as_list(model(noise)), _as_list(folded(noise)), strict=True)
        same = all(
            torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())) for a, b in pairs
        )
    return folded.requires_grad_(False) if same else model.requires_grad_(False)


@torch.no_grad()
def _revive_batch_norm(model: nn.Module, biases: StateDict, images: Tensor) -> None:
    """Set each norm named in `biases` to the statistics of what reaches it from `images`.

    Its scale and shift undo them and add the folded bias, so that in evaluation mode the network
    stays what it was folded. A norm is set just before it is run: one pass is enough.
    """

    def revive(norm: nn.BatchNorm2d, inputs: tuple[Tensor], bias: Tensor) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        values = {
            "running_mean": mean,
            "running_var": variance,
            "weight": (variance + norm.eps).sqrt(),
            "bias": bias + mean,
        }
        norm.load_state_dict(values, strict=False)

    training = model.training
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(partial(revive, bias=bias))
        for name, bias in biases.items()
    ]
    model.eval()(images)
    model.train(training)
    for hook in hooks:
        hook.remove()


def _folding_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Names of each convolution and of the batch norm registered behind it."""
    return [
        (f"{parent}.{conv}".lstrip("."), f"{parent}.{norm}".lstrip("."))
        for parent, module in model.named_modules()
        for (conv, first), (norm, second) in pairwise(module.named_children())
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
    ]


def _require_shapes(wanted: StateDict, state: StateDict, origin: str) -> None:
    for name, tensor in wanted.items():
        if name in state and state[name].shape != tensor.shape:
            raise InputError(
                f"{origin}: {name} has shape {tuple(state[name].shape)}, "
                f"this encoder needs {tuple(tensor.shape)}"
            )


def _as_list(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else outputs


def _strip_prefix(model: nn.Module, state: StateDict) -> StateDict:
    first = next(iter(model.state_dict()))
    prefixes = [name.removesuffix(first) for name in state if name.endswith(first)]
    prefix = min(prefixes, key=len, default="")
    return {name.removeprefix(prefix): value for name, value in state.items()}
