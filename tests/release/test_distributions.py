"""The version of each thing that can be installed, and the check of what is in a distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.version import Version

from ..requirements import lacking

ROOT = Path(__file__).resolve().parents[2]
NPM = "backendai_trio/proxy/static/npm"
TAG = "v7.8.9"
TREES = ("tagged", "later", "untagged", "archive", "copy")


def run(folder: Path, *call: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = {
        f"GIT_{role}_{what}": "somebody@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        call, cwd=folder, env=kept | identity, capture_output=True, text=True, check=False
    )
    if check:
        assert done.returncode == 0, (call, done.stdout, done.stderr)
    return done


def python(folder: Path, *words: str) -> str:
    return run(folder, sys.executable, *words).stdout.strip()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The repository as it comes to those who build it, each without anything that was built."""
    for module in ("hatchling", "hatch_vcs", "hatch_fancy_pypi_readme"):
        if find_spec(module) is None:
            raise lacking(f"the module {module} is not installed (extra 'slow')")
    base = tmp_path_factory.mktemp("trees")
    made = {name: base / name for name in TREES}
    if not (ROOT / ".git").exists():
        raise lacking("this is no clone of the repository")
    run(base, "git", "clone", "-q", str(ROOT), "untagged")
    for tag in run(made["untagged"], "git", "tag").stdout.split():
        run(made["untagged"], "git", "tag", "-d", tag)
    run(base, "git", "clone", "-q", "untagged", "tagged")
    run(made["tagged"], "git", "tag", "-a", TAG, "-m", "A release.")
    run(base, "git", "clone", "-q", "tagged", "later")
    run(made["later"], "git", "commit", "-q", "--allow-empty", "-m", "Something else.")
    for name, tree in (("archive", "tagged"), ("copy", "untagged")):
        made[name].mkdir()
        run(made[tree], "git", "archive", "-o", str(base / f"{name}.tar"), "HEAD")
        with tarfile.open(base / f"{name}.tar") as tar:
            tar.extractall(made[name], filter="data")
    # What a copy of the files has of it: the marks that `git archive` fills in.
    shutil.copy(ROOT / ".git_archival.txt", made["copy"])
    return made


@contextmanager
def built(tree: Path, dist: Path, *targets: str) -> Iterator[Path]:
    """Build distributions of a tree; GraphiQL is that of this clone if it is there."""
    if (ROOT / NPM / "VERSIONS.txt").exists():
        shutil.copytree(ROOT / NPM, tree / NPM, dirs_exist_ok=True)
    options = [word for target in targets for word in ("-t", target)]
    python(tree, "-m", "hatchling", "build", "-d", str(dist), *options)
    yield dist


# --- the version ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_version(trees: dict[str, Path], name: str) -> None:
    fallback = Version(settings()["tool"]["hatch"]["version"]["fallback-version"])
    version = Version(python(trees[name], "-m", "hatchling", "version"))
    head = run(trees["later"], "git", "rev-parse", "HEAD").stdout
    match name:
        case "tagged" | "archive":
            assert str(version) == TAG.removeprefix("v")
        case "later":
            assert (version.base_version, version.dev) == ("7.8.10", 1)
            assert version.local is not None and head.startswith(version.local.removeprefix("g"))
        case "untagged":
            assert (version.base_version, version.is_devrelease) == (fallback.base_version, True)
            assert version > fallback
        case "copy":
            assert version == fallback


def test_the_fallback_is_the_next_release() -> None:
    fallback = settings()["tool"]["hatch"]["version"]["fallback-version"]
    headings = [
        line.removeprefix("## ").split()[0]
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert fallback == f"{headings[0]}.dev0"
    assert sorted(headings, key=Version, reverse=True) == headings


def test_version_of_an_editable_installation(trees: dict[str, Path], tmp_path: Path) -> None:
    """What is installed leads to the tree, where the build has written the version."""
    tree = trees["later"]
    with built(tree, tmp_path / "dist", "wheel:editable") as dist:
        (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        assert not any(name.endswith("_version.py") for name in archive.namelist())
    program = (
        "import site, sys; site.addsitedir(sys.argv[1]); import backendai_trio as b;"
        "from importlib import metadata;"
        "print(b.__version__ == metadata.version('backendai-trio'), b.__version__, b.__file__)"
    )
    said = python(tmp_path, "-I", "-S", "-c", program, str(tmp_path / "installed")).split()
    version = python(tree, "-m", "hatchling", "version")
    assert said == ["True", version, str(tree / "backendai_trio" / "__init__.py")]


def test_version_of_the_distributions(trees: dict[str, Path], tmp_path: Path) -> None:
    """A wheel has it, a source distribution has it, and so has a wheel that is built from that."""
    with built(trees["tagged"], tmp_path / "dist", "sdist", "wheel") as dist:
        (sdist,) = dist.glob("*.tar.gz")
        (wheel,) = dist.glob("*.whl")
    with tarfile.open(sdist) as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"backendai_trio-{TAG[1:]}"
    assert not (unpacked / ".git").exists()
    with built(unpacked, tmp_path / "from-source", "wheel") as dist:
        (second,) = dist.glob("*.whl")
    assert second.read_bytes() == wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    said = python(
        tmp_path / "installed", "-c", "import backendai_trio as b; print(b.__version__, b.__file__)"
    )
    assert said == f"{TAG[1:]} {tmp_path / 'installed' / 'backendai_trio' / '__init__.py'}"


def test_a_tree_from_which_nothing_was_built(trees: dict[str, Path], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    run(tmp_path, "git", "clone", "-q", str(trees["untagged"]), str(tree))
    said = python(tree, "-c", "import backendai_trio as b; print(b.__version__)")
    assert said == "0+unknown"


def settings() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# --- what is in them ------------------------------------------------------------------------------

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def distributions(
    trees: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    with built(trees["later"], tmp_path_factory.mktemp("dist"), "sdist", "wheel") as dist:
        yield dist


def checked(clone: Path, dist: Path) -> tuple[int, list[str]]:
    """The exit code of the check, and what it says."""
    script = str(ROOT / ".ci" / "check_dists.py")
    done = run(ROOT, sys.executable, script, str(clone), str(dist), check=False)
    return done.returncode, done.stderr.splitlines()


def changed(wheel: Path, change: Change) -> None:
    """Change what is in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def with_description(text: str) -> Change:
    def change(content: dict[str, bytes]) -> None:
        (name,) = (name for name in content if name.endswith("METADATA"))
        content[name] += text.encode()

    return change


def without(name: str) -> Change:
    def change(content: dict[str, bytes]) -> None:
        del content[name]

    return change


def having(name: str, data: bytes = b"") -> Change:
    def change(content: dict[str, bytes]) -> None:
        content[name] = data

    return change


def test_the_distributions_are_right(trees: dict[str, Path], distributions: Path) -> None:
    assert checked(trees["later"], distributions) == (0, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("backendai_trio/py.typed"), "the wheel lacks backendai_trio/py.typed"),
        (without("backendai_cli/py.typed"), "the wheel lacks backendai_cli/py.typed"),
        (without(f"{NPM}/graphiql.min.js"), f"the wheel lacks {NPM}/graphiql.min.js"),
        (having("tests/conftest.py"), "the wheel has tests/conftest.py"),
        (
            having("backendai_trio/__pycache__/errors.pyc"),
            "the wheel has backendai_trio/__pycache__/errors.pyc",
        ),
        (
            having("backendai_trio/_version.py", b'__version__ = "1"'),
            "backendai_trio/_version.py does not have the version",
        ),
        (
            with_description("![a picture](docs/images/terminal.svg)"),
            "the description has the relative link (docs/images/terminal.svg)",
        ),
    ],
)
def test_what_the_check_finds(
    trees: dict[str, Path], distributions: Path, tmp_path: Path, change: Change, said: str
) -> None:
    dist = tmp_path / "dist"
    shutil.copytree(distributions, dist)
    (wheel,) = dist.glob("*.whl")
    changed(wheel, change)
    code, lines = checked(trees["later"], dist)
    assert code == 1
    assert len(lines) == 1 and lines[0].startswith(said)


@pytest.mark.parametrize("path", ["LICENSE", "docs/install.md", "backendai_trio/_version.py"])
def test_what_a_source_distribution_lacks_is_found(
    trees: dict[str, Path], distributions: Path, tmp_path: Path, path: str
) -> None:
    dist = tmp_path / "dist"
    shutil.copytree(distributions, dist)
    (sdist,) = dist.glob("*.tar.gz")
    (whole,) = distributions.glob("*.tar.gz")
    with tarfile.open(whole) as old, tarfile.open(sdist, "w:gz") as new:
        for member in old:
            if member.name.partition("/")[2] != path:
                new.addfile(member, old.extractfile(member))
    assert checked(trees["later"], dist) == (1, [f"the source distribution lacks {path}"])
