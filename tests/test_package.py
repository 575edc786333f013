"""The package as a stranger gets it: a wheel, a clean environment, any folder."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from img2imu.models import DEFAULT_ENCODER

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT],
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    """An environment with the wheel, and the dependencies of this one but not its img2imu."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "-q", "--no-deps", wheel], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A plain path in a .pth file adds the folder without running its own .pth files, so the
    # editable install of this environment stays out.
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(site) / "dependencies.pth").write_text("\n".join(others) + "\n")
    return python


def run(python, *arguments, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [python, *arguments], cwd=cwd, capture_output=True, text=True, env=environment
    )


def test_wheel_installs_one_name(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"img2imu"}


def test_every_folder_of_code_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for package, folder in settings["package-dir"].items():
        for source in (ROOT / folder).rglob("*"):
            if source.is_file() and source.parent.name != "__pycache__":
                inside = Path(*package.split(".")) / source.relative_to(ROOT / folder)
                assert inside.as_posix() in names, f"{source} is in no listed package"


def test_the_wheel_brings_the_default_encoder_and_no_more(wheel):
    large = {each.filename for each in zipfile.ZipFile(wheel).infolist() if each.file_size > 1e5}
    assert large == {f"img2imu/models/{DEFAULT_ENCODER.name}.safetensors"}


def test_import_and_help_from_any_folder(clean_python, tmp_path):
    found = run(clean_python, "-c", "import img2imu.convert as c; print(c.__file__)", cwd=tmp_path)
    assert str(clean_python.parent.parent) in found.stdout, found.stderr
    shown = run(clean_python, "-m", "img2imu", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "quickstart" in shown.stdout
    assert run(clean_python, "-m", "img2imu", "probe", "--help", cwd=tmp_path).returncode == 0
    assert len(shown.stdout.splitlines()) <= 24


def test_conversion_from_any_folder(clean_python, tmp_path):
    done = run(clean_python, "-m", "img2imu", "convert", "exercise", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "windows.npz").is_file()
    assert (tmp_path / "out" / "gallery.png").is_file()


def test_import_is_fast():
    """Heavy libraries are imported where they are used, not by the package."""
    code = (
        "import sys, img2imu, img2imu.cli, img2imu.convert, img2imu.models, img2imu.fewshot; "
        "img2imu.cli.build_parser(); "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib', 'pyarrow', 'timm', 'cv2') "
        "if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
