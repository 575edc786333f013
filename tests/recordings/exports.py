"""Small files in the exact form of what apps and devices export, written from their documentation.

Each function writes one recording of `VALUES`, in g, at the device's rate, and returns its path.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from tests.recordings import samples

ROWS = 60
VALUES = samples.signal(ROWS)
METRIC = VALUES * samples.GRAVITY
START = datetime(2025, 12, 31, 14, 5, 6, 500_000)
UNIX = 1767189906.5


def text(path: Path, lines: Iterable[str], end: str = "\n", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def moments(rate: float) -> list[datetime]:
    return [START + timedelta(seconds=row / rate) for row in range(ROWS)]


def phyphox(folder: Path) -> Path:
    """CSV, comma and point: quoted names with units, exponents."""
    names = [f"Acceleration {axis} (m/s^2)" for axis in "xyz"]
    head = ",".join(f'"{name}"' for name in ("Time (s)", *names, "Absolute acceleration (m/s^2)"))
    rows = [
        ",".join(f"{cell:.9E}" for cell in (row / 100, *value, np.linalg.norm(value)))
        for row, value in enumerate(METRIC)
    ]
    return text(folder / "Raw Data.csv", [head, *rows])


def phyphox_german(folder: Path) -> Path:
    """CSV, semicolon and decimal comma."""
    path = phyphox(folder)
    lines = path.read_text().splitlines()
    rows = [line.replace(",", ";").replace(".", ",") for line in lines[1:]]
    return text(path, [lines[0].replace(",", ";"), *rows], "\r\n")


def phyphox_zip(folder: Path) -> Path:
    """The archive that the app shares: the data and what it knows of the phone and the clock."""
    path = phyphox(folder)
    with zipfile.ZipFile(folder / "walk.zip", "w") as archive:
        archive.write(path, "Raw Data.csv")
        archive.writestr("meta/device.csv", '"property","value"\n"version","1.1.16"\n')
        archive.writestr(
            "meta/time.csv",
            '"event","experiment time","system time","system time text"\n'
            '"START",0.000000000E0,1767189906.500,"2025-12-31 14:05:06.500 UTC+01:00"\n'
            '"PAUSE",6.000000000E-1,1767189907.100,"2025-12-31 14:05:07.100 UTC+01:00"\n',
        )
    path.unlink()
    return folder


def sensor_logger(folder: Path) -> Path:
    """A folder: time in ns, z before x; acceleration with and without gravity, gyroscope, notes."""
    for name, values in (
        ("TotalAcceleration", METRIC),
        ("Accelerometer", METRIC - METRIC.mean(axis=0)),
        ("Gyroscope", VALUES / 7),
        ("Gravity", METRIC),
    ):
        rows = [
            f"{1767189906500000000 + row * 10_000_000},{row / 100:.6f},{z},{y},{x}"
            for row, (x, y, z) in enumerate(values)
        ]
        text(folder / f"{name}.csv", ["time,seconds_elapsed,z,y,x", *rows])
    text(
        folder / "Metadata.csv",
        ["version,device name,recording time,platform", "3,Pixel 7,2025-12-31_13-05-06,android"],
    )
    text(folder / "Annotation.csv", ["time,seconds_elapsed,text"])
    return folder


def physics_toolbox(folder: Path) -> Path:
    """Multi-record: g-force with gravity beside linear acceleration, gyroscope, magnetometer."""
    rows = [
        ",".join(f"{cell:.4f}" for cell in (row / 100, *g, np.linalg.norm(g), *g / 9, *g, *g * 40))
        for row, g in enumerate(VALUES)
    ]
    head = "time,gFx,gFy,gFz,TgF,ax,ay,az,wx,wy,wz,Bx,By,Bz,"
    return text(folder / "2025-12-3114.05.06.csv", [head, *(row + "," for row in rows)])


def omgui(folder: Path) -> Path:
    """Axivity's raw CSV: no header, date and time, then g."""
    rows = [
        f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d},{x:.6f},{y:.6f},{z:.6f}"
        for moment, (x, y, z) in zip(moments(100), VALUES, strict=True)
    ]
    return text(folder / "CWA-DATA.csv", rows, "\r\n")


def omconvert(folder: Path) -> Path:
    """Axivity AX6 by omconvert: a header, gyroscope beside."""
    lines = text_lines(omgui(folder))
    axes = [f"{sensor}-{axis} ({unit})" for sensor, unit in (("Accel", "g"), ("Gyro", "d/s"))
            for axis in "XYZ"]  # fmt: skip
    rows = [f"{line},0.061035,-0.122070,0.183105" for line in lines]
    return text(folder / "CWA-DATA.csv", [", ".join(["Time", *axes]), *rows])


def text_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def actigraph(folder: Path) -> Path:
    """ActiLife's raw CSV: ten lines, then names without a time; the rate is in the first line."""
    rows = [f"{x:.3f},{y:.3f},{z:.3f}" for x, y, z in VALUES]
    return text(folder / "MOS2D123RAW.csv", [*actigraph_head("M/d/yyyy", "12/31/2025"),
        "Accelerometer X,Accelerometer Y,Accelerometer Z", *rows], "\r\n")  # fmt: skip


def actigraph_head(form: str, date: str) -> list[str]:
    rule = "-" * 50
    return [
        "------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.3 Firmware v1.9.2 "
        f"date format {form} at 30 Hz  Filter Normal -----------",
        "Serial Number: MOS2D12345678",
        "Start Time 14:05:06",
        f"Start Date {date}",
        "Epoch Period (hh:mm:ss) 00:00:00",
        "Download Time 09:32:11",
        f"Download Date {date}",
        "Current Memory Address: 0",
        "Current Battery Voltage: 4.03     Mode = 12",
        rule,
    ]


def actigraph_german(folder: Path) -> Path:
    """The same of a German Windows, with timestamps."""
    rows = [
        ";".join([f"{moment:%d.%m.%Y %H:%M:%S}.{moment.microsecond // 1000:03d}",
                  *(f"{cell:.3f}".replace(".", ",") for cell in value)])
        for moment, value in zip(moments(30), VALUES, strict=True)
    ]  # fmt: skip
    names = "Timestamp;Accelerometer X;Accelerometer Y;Accelerometer Z"
    head = actigraph_head("dd.MM.yyyy", "31.12.2025")
    return text(folder / "MOS2D123RAW.csv", [*head, names, *rows], "\r\n")


def geneactiv(folder: Path) -> Path:
    """GENEActiv's raw CSV: a hundred lines of two cells, no names, a colon before milliseconds."""
    head = [
        *("Device Type,GENEActiv", "Device Model,1.1", "Device Unique Serial Code,012967"),
        *("Measurement Frequency,100.0 Hz", "Start Time,2025-12-31 14:05:06:500"),
        *("Sensor type,MEMS accelerometer x-axis", "Range,-8 to 8", "Resolution,0.0039"),
        *("Units,g", "Additional information,"),
    ]
    head += [""] * (100 - len(head))
    rows = [
        f"{moment:%Y-%m-%d %H:%M:%S}:{moment.microsecond // 1000:03d},{x:.4f},{y:.4f},{z:.4f},"
        "123,0,25.3"
        for moment, (x, y, z) in zip(moments(100), VALUES, strict=True)
    ]
    return text(folder / "012967_left wrist.csv", [*head, *rows])


def sensorlog(folder: Path) -> Path:
    """SensorLog of iPhone and Apple Watch: many columns, units in brackets, local time and zone."""
    triads = ("accelerometerAcceleration{}(G)", "gyroRotation{}(rad/s)",
              "motionUserAcceleration{}(G)", "motionGravity{}(G)")  # fmt: skip
    names = [triad.format(axis) for triad in triads for axis in "XYZ"]
    head = ["loggingTime(txt)", "loggingSample(N)", "accelerometerTimestamp_sinceReboot(s)", *names]
    rows = []
    for row, (moment, value) in enumerate(zip(moments(50), VALUES, strict=True)):
        stamp = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} +0100"
        cells = (*value, *value / 7, *value / 11, *value)
        rows.append(",".join([stamp, str(row), f"{62608 + row / 50:.6f}", *map(str, cells)]))
    return text(folder / "stream 251231 140506.csv", [",".join(head), *rows])


def empatica(folder: Path) -> Path:
    """E4's ACC.csv: the start, the rate, then whole 1/64 g."""
    rows = [", ".join([f"{cell:.6f}"] * 3) for cell in (UNIX, 32)]
    rows += [",".join(str(round(cell * 64)) for cell in value) for value in VALUES]
    return text(folder / "ACC.csv", rows)


def movesense(folder: Path) -> Path:
    """Movesense's Android showcase: one cell more in each row than names."""
    rows = [f"{row * 19 + row // 4},{x:.6f},{y:.6f},{z:.6f}, "
            for row, (x, y, z) in enumerate(METRIC)]  # fmt: skip
    head = "Timestamp (ms),X: (m/s^2),Y: (m/s^2),Z: (m/s^2)"
    return text(folder / "20251231_140506_LinearAcc.csv", [head, *rows])


def witmotion(folder: Path) -> Path:
    """WitMotion's text: a start, tabs, the time of the day, angles and gyroscope beside."""
    triads = (("a", "g", "xyz"), ("w", "deg/s", "xyz"), ("Angle", "deg", "XYZ"))
    names = [f"{name}{axis}({unit})" for name, unit, axes in triads for axis in axes]
    rows = [
        "\t".join([f" {moment:%H:%M:%S}.{moment.microsecond // 1000:03d}",
                   *(f"{cell:.4f}" for cell in (*value, *value * 90, *value * 10)), "25.31", ""])
        for moment, value in zip(moments(50), VALUES, strict=True)
    ]  # fmt: skip
    head = "\t".join([" Time(s)", *names, "T(°)", ""])
    return text(folder / "251231140506.txt", ["StartTime: 2025-12-31 14:05:06.500", head, *rows])


def arduino(folder: Path) -> Path:
    """A sketch's output on the card: milliseconds, accelerometer and gyroscope."""
    rows = [
        f"{1042 + row * 20},{x},{y},{z},0.01,-0.02,0.03" for row, (x, y, z) in enumerate(METRIC)
    ]
    return text(folder / "LOG001.TXT", ["millis,ax,ay,az,gx,gy,gz", *rows], "\r\n")


def serial_monitor(folder: Path) -> Path:
    """The same copied from Arduino's serial monitor, which puts a time before each line."""
    rows = [
        f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} -> {x},{y},{z}"
        for moment, (x, y, z) in zip(moments(50), VALUES, strict=True)
    ]
    return text(folder / "monitor.txt", ["14:05:06.400 -> ax,ay,az", *rows])


def spreadsheet(folder: Path) -> Path:
    """Saved by a German spreadsheet: Latin-1, semicolons, commas, days since 1900."""
    days = (START - datetime(1899, 12, 30)) / timedelta(days=1)
    rows = [
        ";".join(f"{cell:.10f}".replace(".", ",") for cell in (days + row / 50 / 86_400, *value))
        for row, value in enumerate(METRIC)
    ]
    head = "Zeit;Beschleunigung x (m/s²);Beschleunigung y (m/s²);Beschleunigung z (m/s²)"
    return text(folder / "Mappe1.csv", [head, *rows], "\r\n", "cp1252")


def gt3x(folder: Path) -> Path:
    """ActiGraph's archive: info.txt, and log.bin with one record of activity for each second."""
    ticks = int((START.replace(microsecond=0) - datetime(1, 1, 1)).total_seconds()) * 10_000_000
    info = {"Serial Number": "TAS1D48140206", "Device Type": "Link", "Sample Rate": 30,
            "Start Date": ticks, "Stop Date": ticks, "Download Date": ticks,
            "Battery Voltage": "4,1", "Acceleration Scale": "256.0", "Acceleration Min": "-8.0",
            "Acceleration Max": "8.0", "TimeZone": "01:00:00"}  # fmt: skip
    log = b""
    for second in range(ROWS // 30):
        counts = np.round(VALUES[second * 30 : second * 30 + 30] * 256).astype("<i2")
        head = struct.pack("<BBIH", 0x1E, 0x1A, 1767189906 + second, counts.nbytes)
        record = head + counts.tobytes()
        check = 0
        for byte in record:
            check ^= byte
        log += record + bytes([~check & 0xFF])
    path = folder / "TAS1D48140206.gt3x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("info.txt", "".join(f"{key}: {value}\r\n" for key, value in info.items()))
        archive.writestr("log.bin", log)
    return path


CWA_VALUES = samples.signal(240)


def cwa(folder: Path) -> Path:
    """Axivity AX3's file: a header of 1024 bytes, then sectors of 80 samples at 100 Hz."""
    rate, stamp = 0x4A, _packed(START)  # 100 Hz, 8 g
    header = struct.pack("<HHBHIH", 0x444D, 1020, 0x17, 12345, 1, 0) + bytes(23)
    header += struct.pack("<B", rate)
    content = header.ljust(1024, b"\xff")
    counts = np.round(CWA_VALUES * 256).astype("<i2")
    for sector in range(len(counts) // 80):
        second = START.replace(microsecond=0) + timedelta(seconds=sector * 0.8)
        whole = second.replace(microsecond=0)
        # The time is that of a sample some way into the sector, on the whole second.
        ahead = round((1 - second.microsecond / 1e6) % 1 * 100)
        stamp = _packed(whole if not ahead else whole + timedelta(seconds=1))
        packet = struct.pack("<HHHIIIHHBBBBhH", 0x5841, 508, 0, 1, sector, stamp, 0, 300, 0, 200,
                             rate, 0x32, ahead, 80)  # fmt: skip
        packet += counts[sector * 80 : sector * 80 + 80].tobytes()
        check = -sum(struct.unpack("<255H", packet)) & 0xFFFF
        content += packet + struct.pack("<H", check)
    path = folder / "CWA-DATA.cwa"
    path.write_bytes(content)
    return path


def _packed(moment: datetime) -> int:
    parts = (moment.year - 2000, 26), (moment.month, 22), (moment.day, 17), (moment.hour, 12)
    return sum(value << bit for value, bit in (*parts, (moment.minute, 6), (moment.second, 0)))
