"""Shared data of the tests: real recordings, and a cache that is nobody's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from img2imu.errors import InputError
from img2imu.files import cache_folder

ROOT = Path(__file__).parent.parent

USERS_CACHE = cache_folder()
"""What is downloaded stays there: the tests' own cache is new for each run."""

# Before any library asks how many threads to start: workers of pytest-xdist share the processors,
# and so do the processes that tests start.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    for name in limits:
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))
    # Threads that wait sleep, rather than turn on a processor that others want.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many as there are processors; each takes 2 GiB, and many would wait for the slowest."""
    return min(8, os.cpu_count() or 1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["IMG2IMU_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def runtime_archive(_own_cache: None) -> Path:
    """ONNX Runtime for browsers; the test is skipped where it cannot be had."""
    from img2imu.export.webruntime import fetch_runtime

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2IMU_CACHE", str(USERS_CACHE))
        try:
            archive = fetch_runtime()
        except InputError as error:
            pytest.skip(str(error))
    own = cache_folder() / "downloads" / archive.name
    own.parent.mkdir(exist_ok=True)
    own.symlink_to(archive.resolve())
    return own


@pytest.fixture(scope="session", autouse=True)
def _few_trees() -> Iterator[None]:
    """Smaller forests: what becomes of their scores does not depend on the number of trees."""
    from img2imu.fewshot import learners

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learners, "TREES", 50)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of third-party data; the test is skipped where it is missing."""
    folder = Path(os.environ.get("IMG2IMU_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}: set IMG2IMU_DATA")
    return folder


@pytest.fixture(scope="session")
def reference_weights(shared_data: Path) -> Path:
    """ImageNet-supervised ResNet-18 up to stage 3, batch norm folded into the convolutions."""
    found = sorted((shared_data / "reference_weights").glob("*.safetensors"))
    if not found:
        pytest.skip(f"no reference_weights in {shared_data}")
    return found[0]


@pytest.fixture(scope="session")
def exercise():  # type: ignore[no-untyped-def]
    """Real windows of the watch set that comes with seglearn: 5 s at 50 Hz, 10 subjects."""
    from img2imu.recordings import WindowConfig, make_windows, open_source

    return make_windows(open_source("exercise"), WindowConfig())


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that has to be refused, and gives the sentence with which it was."""
    from img2imu.cli import main

    def run(*arguments: object) -> str:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's own way out
            code = stop.code
        printed = capsys.readouterr()
        assert code == 2, printed.out
        [line] = [line for line in printed.err.splitlines() if line.strip()]
        assert "Traceback" not in line
        assert len(line) < 1000, line
        return line

    return run
