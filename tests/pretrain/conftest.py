"""Small networks train fastest in one thread, and do not wait for those of other tests."""

from functools import partial

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def _one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of one draw in each fold, where no more is asked for."""
    from img2imu import fewshot

    monkeypatch.setattr(fewshot, "ProbeConfig", partial(fewshot.ProbeConfig, seeds=1))
