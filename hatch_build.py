"""What the build adds to the package: GraphiQL, from npm.

The files go beside the proxy's own (`backendai_trio/proxy/static/npm`, not under version control)
and are part of every wheel and source distribution that is built where npm works. Elsewhere the
build goes on without them, and the proxy's page says what is missing. A second build finds them.

`python hatch_build.py` does the same and fails when it cannot.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script
    BuildHookInterface = object

FOLDER = Path(__file__).parent / "backendai_trio" / "proxy" / "static" / "npm"
FETCH_SECONDS = 60


class Package(NamedTuple):
    """A package of npm's: the version, the hash of its archive, and what of it is needed."""

    name: str
    version: str
    sha256: str
    files: dict[str, str]
    """Path in the archive to the name here."""


# The last versions with builds that a page can load without a bundler.
PACKAGES = (
    Package(
        "react",
        "18.3.1",
        "8d9bed01a672e7eaf387942d781ad47c6a43089a30a0306060f9fd5ac7870347",
        {
            "package/umd/react.production.min.js": "react.production.min.js",
            "package/LICENSE": "react.LICENSE.txt",
        },
    ),
    Package(
        "react-dom",
        "18.3.1",
        "031d4427a99f2f3f6cac18bbbf308594a67e4f47d10f4896fdec446505b040e0",
        {
            "package/umd/react-dom.production.min.js": "react-dom.production.min.js",
            "package/LICENSE": "react-dom.LICENSE.txt",
        },
    ),
    Package(
        "graphiql",
        "3.9.0",
        "d955c99ae100ed5facb45f4f94d1a8c0a156f81106434f0e35b0dcb0be574f27",
        {
            "package/graphiql.min.js": "graphiql.min.js",
            "package/graphiql.min.css": "graphiql.min.css",
            "package/LICENSE": "graphiql.LICENSE.txt",
        },
    ),
)
# Names the versions that lie in the folder; written last, so that half a folder does not count.
STAMP = "VERSIONS.txt"
WANTED = "".join(f"{p.name} {p.version} sha256:{p.sha256}\n" for p in PACKAGES)


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """Called by hatchling before it packs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the files, or say that they are missing."""
        try:
            vendor()
        except (OSError, subprocess.SubprocessError, ValueError, tarfile.TarError) as exc:
            self.app.display_warning(f"GraphiQL will be missing from this build: {exc}")


def vendor() -> None:
    """Put the files of all packages into the folder, unless they are there.

    Raises:
        OSError, subprocess.SubprocessError: npm is not there, or failed.
        ValueError: an archive is not the one that was pinned.
    """
    stamp = FOLDER / STAMP
    if stamp.is_file() and stamp.read_text() == WANTED:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    with TemporaryDirectory() as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        for package in PACKAGES:
            unpack(package, fetch(npm, package, Path(temporary)), fresh)
        (fresh / STAMP).write_text(WANTED)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(fresh, FOLDER)


def fetch(npm: str, package: Package, folder: Path) -> Path:
    """The archive of a package, checked against its hash."""
    wanted = f"{package.name}@{package.version}"
    done = subprocess.run(
        [npm, "pack", "--silent", "--fetch-retries=1", wanted],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS,
    )
    archive = folder / done.stdout.split()[-1]
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        raise ValueError(f"npm gave a {wanted} with the hash {found}, not {package.sha256}")
    return archive


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """Take the files that are needed out of an archive."""
    with tarfile.open(archive) as tar:
        for path, name in package.files.items():
            file = tar.extractfile(path)
            if file is None:
                raise ValueError(f"{package.name}: {path} is not a file")
            (folder / name).write_bytes(file.read())


if __name__ == "__main__":
    try:
        vendor()
    except subprocess.CalledProcessError as exc:
        sys.exit(f"npm failed: {exc.stderr.strip() or exc}")
