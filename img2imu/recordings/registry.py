"""The data sets known by name, and the way from a path to a reader."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ..errors import InputError, excerpt
from ..files import cache_folder
from .archives import is_archive, unpack
from .readers.tables import is_table
from .sensors import ACCELEROMETER
from .types import Source


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set.

    Attributes
    ----------
    name
        Name of the data set and of its format.
    title
        One line: who, what, how fast.
    reader
        Module and class of its reader.
    patterns
        Files, anywhere below a folder, by which the format is recognised.
    licence, citation, homepage
        Terms and source.
    url
        Official address of the archive; None where an account or a form stands before it.
    filename
        Name of the downloaded archive.
    sha256
        Of that archive, where its publisher states one.
    header
        First line of its files, where their names alone say too little.
    """

    name: str
    title: str
    reader: tuple[str, str]
    patterns: tuple[str, ...]
    licence: str
    citation: str
    homepage: str
    url: str | None = None
    filename: str | None = None
    sha256: str | None = None
    header: str | None = None

    @property
    def download(self) -> Path | None:
        """Where `fetch` puts the archive."""
        return cache_folder() / "downloads" / self.filename if self.filename else None

    def reader_class(self) -> Callable[..., Source]:
        """Import the reader."""
        module, name = self.reader
        found = import_module(f".readers.{module}", __package__)
        reader: Callable[..., Source] = getattr(found, name)
        return reader


_UCI = "https://archive.ics.uci.edu"
_WISDM_2019 = "wisdm+smartphone+and+smartwatch+activity+and+biometrics+dataset"
_MOTION_SENSE = "https://github.com/mmalekzadeh/motion-sense"
_CAPTURE_24 = "https://ora.ox.ac.uk/objects/uuid:99d7c092-d865-4a19-b096-cc16440cd001"

DATASETS = {
    entry.name: entry
    for entry in (
        Dataset(
            name="wisdm-v1.1",
            title="phone in the trouser pocket, 36 users, 6 activities, 20 Hz",
            reader=("wisdm_v1", "WisdmV1"),
            patterns=("WISDM_ar_v1.1_raw.txt",),
            licence="none stated; research use",
            citation="Kwapisz, Weiss, Moore: Activity recognition using cell phone "
            "accelerometers. SIGKDD Explorations 12(2), 2010",
            homepage="https://www.cis.fordham.edu/wisdm/dataset.php",
            url="https://www.cis.fordham.edu/wisdm/includes/datasets/latest/WISDM_ar_latest.tar.gz",
            filename="WISDM_ar_latest.tar.gz",
        ),
        Dataset(
            name="wisdm-2019",
            title="phone and watch, 51 subjects, 18 activities, 20 Hz",
            reader=("wisdm_2019", "Wisdm2019"),
            patterns=("data_*_accel_*.txt", "data_*_gyro_*.txt"),
            licence="CC BY 4.0",
            citation="Weiss, Yoneda, Hayajneh: Smartphone and smartwatch-based biometrics using "
            "activities of daily living. IEEE Access 7, 2019",
            homepage=f"{_UCI}/dataset/507",
            url=f"{_UCI}/static/public/507/{_WISDM_2019}.zip",
            filename="wisdm-2019.zip",
        ),
        Dataset(
            name="daphnet",
            title="ankle, thigh and trunk, 10 people with Parkinson's disease, 64 Hz",
            reader=("daphnet", "Daphnet"),
            patterns=("S[0-9][0-9]R[0-9][0-9].txt",),
            licence="CC BY 4.0",
            citation="Bächlin et al.: Wearable assistant for Parkinson's disease patients with "
            "the freezing of gait symptom. IEEE Trans. Inf. Technol. Biomed. 14(2), 2010",
            homepage=f"{_UCI}/dataset/245",
            url=f"{_UCI}/static/public/245/daphnet+freezing+of+gait.zip",
            filename="daphnet.zip",
        ),
        Dataset(
            name="pvs",
            title="in three cars on asphalt, cobblestone and dirt roads, 9 trips, 100 Hz",
            reader=("pvs", "Pvs"),
            patterns=("dataset_gps_mpu_left.csv", "dataset_gps_mpu_right.csv"),
            licence="CC BY-NC-ND 4.0",
            citation="Menegazzo, von Wangenheim: Multi-contextual and multi-aspect analysis for "
            "road surface type classification through inertial sensors and deep learning. "
            "SBESC 2020",
            homepage="https://www.kaggle.com/datasets/jefmenegazzo/"
            "pvs-passive-vehicular-sensors-datasets",
        ),
        Dataset(
            name="goat",
            title="collars with six sensors on 5 goats, 100 Hz",
            reader=("goat", "Goat"),
            patterns=("pos_[A-F].csv",),
            licence="see the archive's page",
            citation="Kamminga: Multi sensor-orientation movement data of goats. DANS, 2018",
            homepage="https://doi.org/10.17026/dans-xhn-bsfb",
        ),
        Dataset(
            name="capture24",
            title="wrist over a day of free living, 151 people, 100 Hz, 6.9 GB",
            reader=("capture24", "Capture24"),
            patterns=("P[0-9][0-9][0-9].csv.gz", "P[0-9][0-9][0-9].csv"),
            licence="see the archive's page",
            citation="Chan et al.: CAPTURE-24, a large dataset of wrist-worn activity tracker "
            "data collected in the wild. Scientific Data 11, 2024",
            homepage=_CAPTURE_24,
            url=f"{_CAPTURE_24}/files/rpr76f381b",
            filename="capture24.zip",
            header="time,x,y,z,annotation",
        ),
        Dataset(
            name="motionsense",
            title="phone in the front pocket, 24 subjects, 6 activities, 50 Hz",
            reader=("motionsense", "MotionSense"),
            patterns=("[dujsw][a-z][a-z]_*/sub_*.csv",),
            licence="MIT",
            citation="Malekzadeh et al.: Mobile sensor data anonymization. IoTDI 2019",
            homepage=_MOTION_SENSE,
            url=f"{_MOTION_SENSE}/raw/master/data/B_Accelerometer_data.zip",
            filename="motionsense.zip",
        ),
        Dataset(
            name="exercise",
            title="watch during shoulder exercises, 10 subjects, 7 exercises, 50 Hz",
            reader=("exercise", "Exercise"),
            patterns=("watch_dataset.npy",),
            licence="BSD-3-Clause",
            citation="Burns et al.: Shoulder physiotherapy exercise recognition. Physiological "
            "Measurement 39, 2018",
            homepage="https://pypi.org/project/seglearn/1.2.5/",
        ),
        Dataset(
            name="tabular",
            title="your own CSV, Parquet, NPZ, .gt3x or .cwa files",
            reader=("tabular", "Tabular"),
            patterns=(),  # whatever `is_table` knows
            licence="yours",
            citation="",
            homepage="",
        ),
    )
}
"""All formats by name, in the order in which a folder is tried; `tabular` comes last."""


def open_source(
    path_or_name: str | Path,
    /,
    format: str | None = None,
    labels: str | Path | None = None,
    **options: Any,
) -> Source:
    """Open recordings: a file, a folder, an archive, or a data set fetched before, by its name.

    Parameters
    ----------
    path_or_name
        Path of a file or folder, or of an archive (unpacked into the cache first); or a name
        of `DATASETS`.
    format
        A name of `DATASETS`; recognised by the file names if not given.
    labels
        A file with labels of intervals or of whole recordings, as `Labelled` reads it; ``label``
        then names its column or tier.
    **options
        Passed to the reader: ``device`` (wisdm-2019), ``position`` (daphnet, goat),
        ``placement``, ``side``, ``task`` (pvs), ``scheme`` (capture24), ``columns``, ``label``,
        ``subject``, ``rate``, ``unit``, ``time_unit``, ``time_format``, ``delimiter``,
        ``decimal``, ``path_pattern``, ``triads`` (tabular), ``sensors`` (exercise, motionsense,
        pvs, tabular, wisdm-2019), ``require_sensors`` (tabular, wisdm-2019).

    Returns
    -------
    Source
        Its `pieces` are read when asked for.

    Raises
    ------
    InputError
        If there is no such file, its format is unknown, or an option does not fit the format.
    """
    if labels is not None:
        from .interval_labels import Labelled

        column = options.pop("label", None)
        return Labelled(open_source(path_or_name, format, **options), labels, column)
    if format is not None and format not in DATASETS:
        raise InputError(f"Unknown format {format!r}: choose one of {', '.join(DATASETS)}")
    path = Path(path_or_name)
    if path.exists():
        if path.is_file() and is_archive(path):
            path = unpack(path)
        entry = DATASETS[format or sniff_format(path)]
        return _construct(entry, path, options)
    entry = _by_name(str(path_or_name))
    if entry.name == "exercise":
        return _construct(entry, None, options)
    if entry.download is None or not entry.download.exists():
        raise InputError(
            f"The data set {entry.name} has not been fetched: run img2imu data fetch {entry.name}, "
            f"or give the path of its files"
        )
    return _construct(entry, unpack(entry.download), options)


def fetch_dataset(name: str) -> tuple[Path, str]:
    """Download the archive of a data set into the cache; returns its path and SHA-256.

    Raises
    ------
    InputError
        If the name is unknown, the data set cannot be downloaded without an account, or the
        download fails.
    """
    from .fetch import fetch

    entry = _by_name(name)
    if entry.name == "exercise":
        raise InputError(
            "The exercise data come with a package: pip install --no-deps seglearn==1.2.5"
        )
    if entry.url is None or entry.download is None:
        raise InputError(
            f"{entry.name} cannot be fetched without an account: get it at {entry.homepage} and "
            f"give its path"
        )
    return entry.download, fetch(entry.url, entry.download, entry.sha256)


def _by_name(name: str) -> Dataset:
    if name not in DATASETS or name == "tabular":
        known = ", ".join(known for known in DATASETS if known != "tabular")
        raise InputError(f"{name} is neither a file or folder nor a data set ({known})")
    return DATASETS[name]


def _construct(entry: Dataset, path: Path | None, options: dict[str, Any]) -> Source:
    reader = entry.reader_class()
    known = [name for name in inspect.signature(reader).parameters if name != "path"]
    if "sensors" not in known and tuple(options.get("sensors", ())) == ACCELEROMETER:
        options = {name: value for name, value in options.items() if name != "sensors"}
    if "incomplete" not in known:
        # Its sensors share their rows: they are missing together, which is a gap in time.
        options = {name: value for name, value in options.items() if name != "incomplete"}
    for name in options:
        if name == "sensors" and name not in known:
            raise InputError(f"the format {entry.name} is read for its accelerometer alone so far")
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"The format {entry.name} has no option {name} (options: {listed})")
    hints = get_type_hints(reader.__init__)
    return reader(path, **{name: _typed(name, value, hints) for name, value in options.items()})


def _typed(name: str, value: Any, hints: dict[str, Any]) -> Any:
    """An option's text as its reader takes it: a number, several names, or text."""
    accepted = get_args(hints.get(name)) or (hints.get(name),)
    if not isinstance(value, str) or str in accepted:
        return value
    if float in accepted:
        try:
            return float(value)
        except ValueError:
            raise InputError(f"{name} must be a number, not {excerpt(value)!r}") from None
    return value.split(",")


def _begins(path: Path, header: str) -> bool:
    """Whether a file's first line is this one."""
    from .readers.text import line_blocks

    try:
        return next(line_blocks(path, 1 << 16)).startswith(header.encode())
    except InputError:
        return False


def sniff_format(path: Path) -> str:
    """Name of the format whose files `path` is or holds.

    Raises
    ------
    InputError
        If no format fits.
    """
    for entry in DATASETS.values():
        for pattern in entry.patterns:
            files = [path] if path.is_file() and path.match(pattern) else path.rglob(pattern)
            file = next(iter(files), None)
            if file is not None and (entry.header is None or _begins(file, entry.header)):
                return entry.name
    files = [path] if path.is_file() else path.rglob("*")
    if any(is_table(file) or is_archive(file) for file in files):
        return "tabular"
    raise InputError(
        f"The format of {path} is not recognised: give format as one of {', '.join(DATASETS)}"
    )
