"""What a wheel and a source distribution must hold: `python .ci/check_dists.py CLONE DIST`.

CLONE is the clone from which both were built, with what the build has added; DIST is their folder.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

#: Folders of the repository that a wheel installs, and where the packages lie there.
INSTALLED = {"backendai_trio/": "backendai_trio/", "cli/backendai_cli/": "backendai_cli/"}
#: What a source distribution has of the repository.
SOURCES = re.compile(
    r"(backendai_trio|cli|tests|benchmarks|docs)/|(mkdocs\.yml|hatch_build\.py|pyproject\.toml"
    r"|README\.md|CHANGELOG\.md|CONTRIBUTING\.md|SECURITY\.md|LICENSE|\.gitignore)$"
)
VERSION_FILE = "backendai_trio/_version.py"
#: A link or picture of Markdown that is relative: the package index has nothing there.
RELATIVE_LINK = re.compile(r"\]\((?!https?:)[^)]*\)")


def faults_of(clone: Path, dist: Path) -> Iterator[str]:
    """What is wrong with the two archives, a line each.

    Args:
        clone: a clone of the repository with what the build has added.
        dist: the folder of the archives.
    """
    built = sorted(path.name for path in dist.iterdir())
    if [Path(name).suffix for name in built] != [".whl", ".gz"]:
        yield f"there are {built}, not one wheel and one source distribution"
        return
    tracked = set(_git(clone, "ls-files"))
    vendored = runpy.run_path(str(clone / "hatch_build.py"))
    folder = vendored["FOLDER"].relative_to(clone.resolve())
    names = {name for package in vendored["PACKAGES"] for name in package.files.values()}
    generated = {VERSION_FILE} | {f"{folder}/{name}" for name in {*names, vendored["STAMP"]}}

    with zipfile.ZipFile(dist / built[0]) as wheel:
        found = set(wheel.namelist())
        info = next(name.partition("/")[0] for name in found if ".dist-info/" in name)
        metadata = wheel.read(f"{info}/METADATA").decode()
        version_module = wheel.read(VERSION_FILE).decode()
    wanted = {
        new + path.removeprefix(old)
        for path in tracked | generated
        for old, new in INSTALLED.items()
        if path.startswith(old)
    }
    wanted |= {
        f"{info}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    yield from _differences("the wheel", found, wanted)

    with tarfile.open(dist / built[1]) as source:
        paths = {name.partition("/")[2] for name in source.getnames()}
    wanted = {path for path in tracked | generated if SOURCES.match(path)} | {"PKG-INFO"}
    yield from _differences("the source distribution", paths, wanted)

    yield from _metadata_faults(metadata, version_module)


def _metadata_faults(metadata: str, version_module: str) -> Iterator[str]:
    message = message_from_string(metadata)
    if f'__version__ = "{message["Version"]}"' not in version_module:
        yield f"{VERSION_FILE} does not have the version {message['Version']}"
    for link in RELATIVE_LINK.findall(str(message.get_payload())):
        yield f"the description has the relative link {link[1:]}"


def _differences(archive: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    yield from (f"{archive} lacks {name}" for name in sorted(wanted - found))
    yield from (f"{archive} has {name}" for name in sorted(found - wanted))


def _git(clone: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        ["git", *arguments, "-z"],
        cwd=clone,
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.split("\0")[:-1]


if __name__ == "__main__":
    sys.exit("\n".join(faults_of(*map(Path, sys.argv[1:]))) or 0)
