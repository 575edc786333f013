"""The packing benchmark: what its report holds; never how fast it was."""

from __future__ import annotations

import json

import pytest

from img2imu.bench import pack
from img2imu.errors import InputError
from tests.images.samples import collection, folder


@pytest.fixture
def photos(tmp_path):
    return folder(tmp_path / "photos", collection())


def test_report_is_json_and_a_table(photos):
    report = json.loads(json.dumps(pack.run(photos, rounds=2, width=32, height=24)))
    assert {pack.OURS, pack.PEER} < set(report["rates"])
    assert set(report["speedup"]) == set(report["rates"]) - {pack.OURS}
    assert report["images"]["count"] == 12
    for rate in report["rates"].values():
        assert len(rate["each"]) == 2
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
    assert 0 < report["difference"]["mean"] <= report["difference"]["worst"] < 2
    assert pack.PEER in pack.table(report)


def test_photographs_must_be_there(monkeypatch, tmp_path, photos):
    monkeypatch.delenv("IMG2IMU_DATA", raising=False)
    with pytest.raises(InputError, match="IMG2IMU_DATA"):
        pack.run()
    with pytest.raises(InputError, match="no folder"):
        pack.run(tmp_path / "nothing")
    with pytest.raises(InputError, match="rounds"):
        pack.run(photos, rounds=0)
