"""Smaller forests: what a study does with their scores does not depend on the trees."""

from collections.abc import Iterator

import pytest

from img2imu.fewshot import learners


@pytest.fixture(scope="session", autouse=True)
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learners, "TREES", 30)
        yield
