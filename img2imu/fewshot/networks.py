"""Networks with random weights: several instead of one, whose score is a matter of luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..models import EncoderConfig


def seeded(encoder: EncoderConfig, count: int) -> list[EncoderConfig]:
    """An encoder with the weights of `count` seeds, its own and the next ones."""
    return [replace(encoder, seed=encoder.seed + number) for number in range(count)]


def averaged(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of several networks' records, fold by fold and draw by draw.

    Parameters
    ----------
    records
        Of one probe and number of shots, from the same draws; as of
        :func:`.protocol.summarize`.

    Returns
    -------
    dict
        A record, too: scores are means, confusions sums, and what was chosen stands network by
        network. ``f1_networks`` has the mean of each; a network alone stays as it is.
    """
    if len(records) == 1:
        return dict(records[0])
    each = np.array([record["f1_each"] for record in records])
    draws = each.mean(0)
    return {
        **records[0],
        "f1_mean": round(float(draws.mean()), 4),
        "f1_std": round(float(draws.std()), 4),
        "f1_each": draws.round(4).tolist(),
        "f1_networks": each.mean(1).round(4).tolist(),
        "validation_f1": round(float(np.mean([r["validation_f1"] for r in records])), 4),
        "chosen": [setting for record in records for setting in record["chosen"]],
        "confusion": np.sum([record["confusion"] for record in records], axis=0).tolist(),
    }
