"""The command as a whole, with one cheap group and without other clients."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from .command import benchmarks

MARKED = "<!-- benchmarks: startup -->\n<!-- end of benchmarks -->\n"


def test_a_group_is_measured_written_and_shown(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKED)
    outputs = ["--json", tmp_path / "run.json", "--plots", tmp_path, "--into", readme]
    done = benchmarks("--quick", "--only", "startup", "--rounds", "1", "--no-peers", *outputs)
    assert done.returncode == 0, done.stderr
    assert "backend.ai --help" in done.stdout
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["missing"] == [] and {row["group"] for row in data["rows"]} == {"startup"}
    assert all(len(row["samples"]["ours"]) == 1 for row in data["rows"])
    ET.fromstring((tmp_path / "startup.svg").read_text())
    assert "| backend.ai --help |" in readme.read_text()

    # The same again, from what was written.
    readme.write_text(MARKED)
    again = benchmarks("--from", tmp_path / "run.json", "--into", readme)
    assert again.returncode == 0, again.stderr
    assert "| backend.ai --help |" in readme.read_text()


def test_limits_fail_only_a_strict_run(tmp_path: Path) -> None:
    row = {
        "group": "startup",
        "name": "slow",
        "samples": {"ours": [2.0], "bare": [1.0]},
        "limit": {"most": 1.0, "of": "bare"},
    }
    report = {"quick": True, "python": "3", "cpus": 1, "machine": "m", "load": [0, 0]}
    report |= {"seconds": {}, "missing": [], "rows": [row]}
    path = tmp_path / "run.json"
    path.write_text(json.dumps(report))
    lenient = benchmarks("--from", path)
    assert lenient.returncode == 0 and "OVER" in lenient.stdout + lenient.stderr
    assert benchmarks("--from", path, "--strict").returncode == 1
    path.write_text(json.dumps(report | {"missing": ["a reason"], "rows": []}))
    assert benchmarks("--from", path).returncode == 1
