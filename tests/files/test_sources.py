"""Which files of a folder are uploaded, and under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from backendai_trio import UploadError
from backendai_trio.files import Links, plan_uploads


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder with a link to one of its own folders, as virtual environments have."""
    folder = tmp_path / "env"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "a").write_text("1")
    (folder / "lib64").symlink_to("lib")
    (folder / "run").symlink_to("lib/a")
    return folder


def planned(folder: Path, links: Links) -> dict[str, str]:
    uploads = plan_uploads([folder], base=folder.parent, recursive=True, links=links)
    return {
        upload.name.removeprefix("env").lstrip("/"): "/"
        if upload.is_folder
        else upload.link or "file"
        for upload in uploads
    }


def test_links_within_a_folder(environment: Path) -> None:
    rest = {"": "/", "lib": "/", "lib/a": "file"}
    assert planned(environment, "follow") == rest | {
        "lib64": "/",
        "lib64/a": "file",
        "run": "file",
    }
    assert planned(environment, "keep") == rest | {"lib64": "lib", "run": "lib/a"}
    assert planned(environment, "skip") == rest


@pytest.mark.parametrize("target", ["..", ".", "missing", "/etc/passwd", "../outside"])
def test_links_that_lead_elsewhere(environment: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    (environment / "lib64").unlink()
    (environment / "lib" / "bad").symlink_to(target if target[0] == "/" else f"../{target}")
    with pytest.raises(UploadError, match="symbolic link") as caught:
        planned(environment, "follow")
    assert caught.value.path == str(environment / "lib" / "bad")
    if target not in (".", "missing"):  # these stay inside, and harm nobody as links
        with pytest.raises(UploadError, match="leads out of the folder"):
            planned(environment, "keep")
    assert "lib/bad" not in planned(environment, "skip")


def test_folders_that_link_to_each_other(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / "env" / name).mkdir(parents=True)
        (tmp_path / "env" / name / "other").symlink_to(f"../{other}")
    with pytest.raises(UploadError, match="symbolic link"):
        planned(tmp_path / "env", "follow")


def test_no_such_choice(environment: Path) -> None:
    with pytest.raises(ValueError, match="'follow', 'keep' or 'skip'"):
        planned(environment, "copy")  # type: ignore[arg-type]
