"""Download of official archives: resumable, checked, atomic."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files import sha256_of, write_text

_CHUNK = 1 << 18
_TIMEOUT_S = 60
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(
    url: str,
    target: Path,
    sha256: str | None = None,
    attempts: int = 5,
    wait_s: float = 2.0,
    progress: bool = True,
) -> str:
    """Download `url` to `target`, continuing where an earlier download broke off.

    What has arrived lies in ``<target>.part``; it gets its name once complete and checked. The
    SHA-256 found is written beside it, to ``<target>.sha256``.

    Parameters
    ----------
    url
        Address, http or https.
    target
        File to write; its folder is made. If it exists, only its hash is checked.
    sha256
        Expected SHA-256 in hex; not checked if None.
    attempts
        How often a broken connection is taken up again without anything new arriving.
    wait_s
        Seconds between attempts.
    progress
        Whether to show a progress bar.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    InputError
        If the server refuses, the connection keeps breaking, the disk is full, or the hash is
        not the expected one.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is not an http or https address")
    if not target.exists():
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        _complete(_Download(url, part, sha256 is not None, progress), attempts, wait_s)
        found = _check(part, url, sha256)
        part.replace(target)
        _validator(part).unlink(missing_ok=True)
    else:
        found = _check(target, url, sha256)
    write_text(target.with_name(target.name + ".sha256"), f"{found}  {target.name}\n")
    return found


def _check(path: Path, url: str, sha256: str | None) -> str:
    found = sha256_of(path)
    if sha256 is not None and found != sha256.lower():
        path.unlink()
        raise InputError(
            f"The download of {url} has SHA-256 {found}, not {sha256}: it was removed; try again"
        )
    return found


@dataclass(frozen=True)
class _Download:
    """One file on its way.

    Attributes
    ----------
    url, part
        From where to where.
    checked
        Whether the whole will be held against a known hash, so that parts of two versions of a
        file cannot go unnoticed.
    progress
        Whether to show a bar.
    """

    url: str
    part: Path
    checked: bool
    progress: bool

    @property
    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _complete(download: _Download, attempts: int, wait_s: float) -> None:
    """Request and continue until the whole file has arrived."""
    failures = 0
    while True:
        before = download.size
        try:
            if _continue(download):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != http.HTTPStatus.TOO_MANY_REQUESTS:
                raise InputError(f"{download.url} answers {error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except _BROKEN as error:
            reason = str(error) or type(error).__name__
        failures = 0 if download.size > before else failures + 1
        if failures >= attempts:
            raise InputError(
                f"{download.url} broke off after {download.size} bytes ({reason}): run again to "
                f"continue"
            )
        time.sleep(wait_s)


def _continue(download: _Download) -> bool:
    """One request for what is missing; True once the file is complete."""
    part, have = download.part, download.size
    request = urllib.request.Request(download.url, headers={"User-Agent": "img2imu"})
    validator = _validator(part)
    if have and (download.checked or validator.exists()):
        request.add_header("Range", f"bytes={have}-")
        if validator.exists():
            request.add_header("If-Range", validator.read_text(encoding="utf-8"))
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _already_complete(error, part, have)
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if resumed else 0
        _keep_validator(response, validator)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        _check_space(part, (total or 0) - have)
        _receive(response, download, have, total)
    return total is None or download.size == total


def _receive(
    response: http.client.HTTPResponse, download: _Download, have: int, total: int | None
) -> None:
    from tqdm import tqdm

    bar = tqdm(
        desc=download.part.stem,
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        disable=not download.progress,
    )
    with bar, download.part.open("ab" if have else "wb") as stream:
        while chunk := response.read1(_CHUNK):
            stream.write(chunk)
            bar.update(len(chunk))


def _keep_validator(response: http.client.HTTPResponse, validator: Path) -> None:
    """Note by what the server names this version of the file; a weak ETag does not do."""
    tag = response.headers.get("ETag")
    if tag is None or tag.startswith("W/"):
        tag = response.headers.get("Last-Modified")
    if tag:
        validator.write_text(tag, encoding="utf-8")
    else:
        validator.unlink(missing_ok=True)


def _already_complete(error: urllib.error.HTTPError, part: Path, have: int) -> bool:
    """Whether "range not satisfiable" means that nothing is missing; if not, start afresh."""
    if error.headers.get("Content-Range") == f"bytes */{have}":
        return True
    part.unlink()
    return False


def _validator(part: Path) -> Path:
    """File with the ETag or date of the version that `part` is a part of."""
    return part.with_name(part.name + ".tag")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise InputError(
            f"Not enough disk space in {part.parent}: {needed} bytes to come, {free} free"
        )
