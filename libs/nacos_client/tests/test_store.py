"""Last-known-good on disk."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from nacos_client import NacosSettings
from nacos_client.store import Store


def store(place: Path) -> Store:
    return Store(NacosSettings(cache_dir=place))


def test_what_was_saved_is_loaded_with_its_age(tmp_path: Path) -> None:
    """By another process of the same settings too; other keys and kinds are apart."""
    store(tmp_path).save("service", "a", [1, "ü"])
    loaded = store(tmp_path).load("service", "a")
    assert loaded is not None
    assert loaded[0] == [1, "ü"]
    assert 0 <= loaded[1] < 60
    assert store(tmp_path).load("service", "b") is None
    assert store(tmp_path).load("document", "a") is None
    elsewhere = Store(NacosSettings(cache_dir=tmp_path, namespace="other"))
    assert elsewhere.load("service", "a") is None


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Documents may hold secrets: neither the directory nor the file is open to others."""
    store(tmp_path / "new").save("document", "a", "secret")
    for path in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "a"}', '{"key":"x","value":1}'])
def test_a_damaged_file_is_nothing(tmp_path: Path, damage: str) -> None:
    """What cannot be read is as if it was never there."""
    one = store(tmp_path)
    one.save("service", "a", 1)
    [file] = tmp_path.rglob("*.json")
    file.write_text(damage)
    assert one.load("service", "a") is None


def test_a_full_disk_keeps_the_old_value(tmp_path: Path) -> None:
    """A write that fails half-way raises nothing, leaves the last value, and says what is wrong."""
    store(tmp_path).save("service", "a", "old")
    script = (
        "import resource, sys; from pathlib import Path; from nacos_client import NacosSettings;"
        "from nacos_client.store import Store;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64));"
        "store = Store(NacosSettings(cache_dir=Path(sys.argv[1])));"
        "store.save('service', 'a', 'new' * 1000); print(store.trouble)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "File too large" in answer.stdout
    assert store(tmp_path).load("service", "a")[0] == "old"
    assert list(tmp_path.rglob(".new-*")) == []


def test_a_directory_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    """Where there is a file in the way, nothing is kept, and `trouble` says so."""
    (tmp_path / "file").write_text("")
    one = store(tmp_path / "file" / "below")
    one.save("service", "a", 1)
    assert "Not a directory" in str(one.trouble)
    assert one.load("service", "a") is None


def test_the_file_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    """Key, time and value stand in it by name."""
    store(tmp_path).save("service", "G@@a", [1])
    [file] = tmp_path.rglob("*.json")
    assert set(json.loads(file.read_text())) == {"key", "saved_at", "value"}
    assert file.stat().st_uid == os.getuid()
