#!/usr/bin/env python3
"""Build, check and try imgverify: ``python3 make.py TARGET [ARGUMENT…]``.

Needs Python 3.11 or later and nothing else: the standard library makes ``.venv`` and all that the
targets need goes there. ``make TARGET`` is the same.
"""

from __future__ import annotations

import configparser
import hashlib
import html.parser
import http.client
import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "imgverify.json"
PEERS = ROOT / "tests" / "peers"

OLDEST_PYTHON = (3, 11)
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
DEFAULT_INDEX = "https://pypi.org/simple"
INDEX_TIMEOUT = 60
INDEX_LIMIT = 32 * 1024 * 1024

LEFTOVERS = (
    *(".venv", "build", "dist", "htmlcov", ".hypothesis", "__pycache__", ".import_linter_cache"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache"),
)


class MakeError(Exception):
    """A target cannot go on; the message is one line and names the next step."""


# --- the environment ------------------------------------------------------------------------------


def environment(*, dev: bool) -> None:
    """Bring ``.venv`` up to date; when nothing changed this reads two files and returns.

    One environment serves all targets. ``demo`` needs only what imgverify itself imports, which
    installs in a fraction of the time; the first other target adds the rest.
    """
    project = (ROOT / "pyproject.toml").read_bytes()
    interpreter = f"{sys.version} {sys.base_prefix} {ROOT}"
    digest = hashlib.sha256(project).hexdigest()
    stamp = _read_stamp()
    if stamp.get("interpreter") != interpreter or not PYTHON.exists():
        _create_venv()
        stamp = {}
    if stamp.get("pyproject") == digest and (stamp.get("dev") or not dev):
        return
    STAMP.unlink(missing_ok=True)  # an interrupted installation must not look finished
    print("make.py: installing into .venv (once)", file=sys.stderr)
    dev = dev or bool(stamp.get("dev"))
    _pip_install(["--editable", f"{ROOT}[dev]"] if dev else _runtime_dependencies(project))
    STAMP.write_text(json.dumps({"interpreter": interpreter, "pyproject": digest, "dev": dev}))


def _read_stamp() -> dict[str, object]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _runtime_dependencies(project: bytes) -> list[str]:
    # Not at the top: an older Python has no tomllib, and main() still has to say so.
    import tomllib  # noqa: PLC0415

    return list(tomllib.loads(project.decode())["project"]["dependencies"])


def _pip_install(arguments: Sequence[str]) -> None:
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    if _run([PYTHON, "-m", "pip", "install", *options, *arguments]):
        raise MakeError("pip could not install what is needed; see above, and run this again")


def _create_venv() -> None:
    if VENV.exists():
        shutil.rmtree(VENV)
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.EnvBuilder(symlinks=True, with_pip=has_pip).create(VENV)
    if has_pip:
        return
    # Debian keeps ensurepip in a package of its own, so a fresh system has venv without pip.
    try:
        _bootstrap_pip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        raise MakeError(
            f"this Python has no pip and fetching it failed ({error}); "
            "next: apt-get install python3-venv"
        ) from error


def _bootstrap_pip() -> None:
    """Install pip from its wheel, which can run as a program, after checking the wheel's hash."""
    index = pip_setting("index-url", os.environ) or DEFAULT_INDEX
    wheel = _fetch(_wheel_url(index))
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise ValueError(f"{PIP_WHEEL} from the package index has an unexpected SHA-256")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / PIP_WHEEL
        path.write_bytes(wheel)
        if _run([PYTHON, path / "pip", "install", "--quiet", "--no-index", "--no-deps", path]):
            raise ValueError("the pip wheel did not install itself")


class _Links(html.parser.HTMLParser):
    """Collects where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


def wheel_in(page: str, base: str) -> str | None:
    """Return the address of the pip wheel that a page of the simple repository API links to."""
    links = _Links()
    links.feed(page)
    for target in links.targets:
        address = urllib.parse.urljoin(base, target)
        if urllib.parse.urlsplit(address).path.rpartition("/")[2] == PIP_WHEEL:
            return urllib.parse.urldefrag(address).url
    return None


def _wheel_url(index: str) -> str:
    page = f"{index.rstrip('/')}/pip/"
    address = wheel_in(_fetch(page).decode(), page)
    if address is None:
        raise ValueError(f"the package index has no {PIP_WHEEL}")
    return address


def _fetch(address: str) -> bytes:
    if not address.startswith(("https://", "http://")):
        raise ValueError("the package index is not an http or https address")
    cafile = pip_setting("cert", os.environ)
    request = urllib.request.Request(address, headers={"Accept": "text/html, */*;q=0.5"})
    context = ssl.create_default_context(cafile=cafile)
    with urllib.request.urlopen(request, timeout=INDEX_TIMEOUT, context=context) as response:
        body: bytes = response.read(INDEX_LIMIT + 1)
    if len(body) > INDEX_LIMIT:
        raise ValueError("the package index sent more than any page or wheel of it has")
    return body


def pip_setting(name: str, environ: Mapping[str, str]) -> str | None:
    """Return one setting of the user's pip: its environment variable, else its configuration files.

    pip is not there to be asked yet. The files are read in pip's order, the last one wins.
    """
    variable = environ.get(f"PIP_{name.upper().replace('-', '_')}")
    if variable:
        return variable
    home = Path(environ.get("HOME", "~")).expanduser()
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    named = environ.get("PIP_CONFIG_FILE")
    if named:
        files = [] if named == os.devnull else [*files, Path(named)]
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    return parser.get("global", name, fallback=None)


# --- real components ------------------------------------------------------------------------------


def peer_table() -> dict[str, dict[str, str]]:
    """Return ``tests/peers/peers.json``: the real components that system tests run against."""
    table: dict[str, dict[str, str]] = json.loads((PEERS / "peers.json").read_text())
    return table


def peer_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder for programs built here, one for all checkouts of this user."""
    named = environ.get("IMGVERIFY_PEERS")
    if named:
        return Path(named)
    home = Path(environ.get("HOME", "~")).expanduser()
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "imgverify-peers"


def find_peer(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the program of one component: Debian's from PATH, a built one from the cache."""
    peer = peer_table()[name]
    if "debian" in peer:
        found = shutil.which(peer["command"], path=environ.get("PATH"))
        return Path(found) if found else None
    binary = _built_path(peer, environ)
    return binary if os.access(binary, os.X_OK) else None


def _built_path(peer: Mapping[str, str], environ: Mapping[str, str]) -> Path:
    return peer_cache(environ) / "bin" / f"{peer['command']}-{peer['version']}"


def _install_debian(packages: Sequence[str]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MakeError(f"next, as root: apt-get install {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-qq"], install):
        if _run(command, env=quiet, stdout=subprocess.DEVNULL):
            raise MakeError(f"`{' '.join(command)}` failed; see its message above")


def _build_go(name: str, peer: Mapping[str, str]) -> None:
    """Build one pinned Go program into the cache; it gets its final name only when complete."""
    _require_go(PEERS / name / "go.mod")
    target = _built_path(peer, os.environ)
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"make.py: building {target.name} (once per machine)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        built = Path(directory) / peer["command"]
        flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(built)]
        pure = {**os.environ, "CGO_ENABLED": "0"}
        if _run(["go", "build", *flags, peer["package"]], cwd=PEERS / name, env=pure):
            raise MakeError(f"go could not build {name}; see its message above and run this again")
        built.replace(target)


def go_version(text: str) -> tuple[int, int]:
    """Return major and minor of the first Go version in a text such as ``go1.26.8``."""
    match = re.search(r"(?:^|\bgo ?)(\d+)\.(\d+)", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no Go version in {text!r}")
    return int(match[1]), int(match[2])


def _require_go(module: Path) -> None:
    needed = go_version(module.read_text())
    wanted = f"Go {needed[0]}.{needed[1]} or later builds the components of the system tests"
    if shutil.which("go") is None:
        raise MakeError(f"{wanted}, and this machine has none; next: https://go.dev/dl/")
    question = ["go", "env", "GOVERSION", "GOTOOLCHAIN"]
    answer = subprocess.run(question, cwd=ROOT, capture_output=True, text=True, check=True)
    version, _, toolchain = answer.stdout.partition("\n")
    # Unless told to stay local, Go 1.21 and later fetches the toolchain that a module asks for.
    found = go_version(version)
    fetches = found >= (1, 21) and toolchain.strip() != "local"
    if found < needed and not fetches:
        raise MakeError(f"{wanted}, and this machine has {version}; next: https://go.dev/dl/")


# --- targets --------------------------------------------------------------------------------------


def env(_arguments: Sequence[str]) -> int:
    """Make .venv with all that development needs."""
    environment(dev=True)
    return 0


def demo(arguments: Sequence[str]) -> int:
    """Show the main job on this machine: a mirror against its upstream, good, stale, tampered."""
    environment(dev=False)
    return _run([PYTHON, "-m", "imgverify", "demo", *arguments])


def test(arguments: Sequence[str]) -> int:
    """Run the tests that this machine can run (CI=true: all, or fail); arguments go to pytest."""
    environment(dev=True)
    # Measuring coverage doubles the time, and a selection cannot reach what the whole has to.
    whole = ["-n", "auto", *(["--cov"] if os.environ.get("CI") == "true" else ["-m", "not slow"])]
    return _run([PYTHON, "-m", "pytest", *(arguments or whole)])


def system(arguments: Sequence[str]) -> int:
    """Run the tests against real components; a missing component is an error."""
    environment(dev=True)
    required = {**os.environ, "IMGVERIFY_REQUIRE_PEERS": "true"}
    return _run([PYTHON, "-m", "pytest", "-m", "system", *arguments], env=required)


def check(_arguments: Sequence[str]) -> int:
    """Lint, format, types, import contracts and documentation; all run, even when one fails."""
    environment(dev=True)
    steps: list[list[str | Path]] = [
        [PYTHON, "-m", "ruff", "check"],
        [PYTHON, "-m", "ruff", "format", "--check"],
        [PYTHON, "-m", "mypy"],
        [VENV / "bin" / "lint-imports"],
        [PYTHON, "-m", "pytest", "-q", "tests/test_docs.py"],
    ]
    failed = [step for step in steps if _run(step)]
    for step in failed:
        print(f"make.py: failed: {' '.join(Path(word).name for word in step)}", file=sys.stderr)
    return 1 if failed else 0


def peers(_arguments: Sequence[str]) -> int:
    """Install or build the real components that system tests run against."""
    table = peer_table()
    missing = [name for name in table if find_peer(name, os.environ) is None]
    for name in missing:
        if "package" in table[name]:
            _build_go(name, table[name])
    packages = [table[name]["debian"] for name in missing if "debian" in table[name]]
    if packages:
        _install_debian(packages)
    return 0


def bench(arguments: Sequence[str]) -> int:
    """Run the benchmarks."""
    environment(dev=True)
    return _run([PYTHON, "tests/benchmarks/run.py", *arguments])


def campaign(arguments: Sequence[str]) -> int:
    """Run imgverify against mutated answers (--cases N --seed N; --only N for one of them)."""
    environment(dev=True)
    return _run([PYTHON, "-m", "tests.fuzz.campaign", *arguments])


def clean(_arguments: Sequence[str]) -> int:
    """Remove .venv and what tests and tools leave; components in the cache stay."""
    leftovers = [ROOT / name for name in LEFTOVERS]
    leftovers += [*ROOT.glob(".coverage*"), ROOT / "__pycache__"]
    for folder in ("imgverify", "tests"):
        leftovers += (ROOT / folder).rglob("__pycache__")
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return 0


_ALL = (demo, test, check, system, peers, bench, campaign, env, clean)
TARGETS: dict[str, Callable[[Sequence[str]], int]] = {each.__name__: each for each in _ALL}


def _run(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> int:
    try:
        return subprocess.run(command, cwd=cwd, env=env, stdout=stdout, check=False).returncode
    except FileNotFoundError as error:
        raise MakeError(f"cannot run {error.filename}; next: python3 make.py clean") from error


def _usage() -> str:
    lines = [f"  {name:9}{target.__doc__}" for name, target in TARGETS.items()]
    return "\n".join(["usage: python3 make.py TARGET [ARGUMENT…]", "", *lines])


def main(arguments: Sequence[str]) -> int:
    """Run one target and return its exit status."""
    if sys.version_info < OLDEST_PYTHON:
        print("make.py: needs Python 3.11 or later; next: make PYTHON=python3.11", file=sys.stderr)
        return 2
    if not arguments or arguments[0] not in TARGETS:
        print(_usage(), file=sys.stderr if arguments else sys.stdout)
        return 2 if arguments else 0
    try:
        return TARGETS[arguments[0]](arguments[1:])
    except MakeError as error:
        print(f"make.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
