"""The names that `import imgverify` promises."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imgverify
from tests.support.attach import Place, attach
from tests.support.authorities import public_pem
from tests.support.image import put, release
from tests.support.registry import FakeRegistry
from tests.support.signer import Deployment

SOURCE = Path(imgverify.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", imgverify.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(imgverify, name) is not None


def test_no_public_name_is_hidden_by_a_package_of_the_same_name() -> None:
    for name in imgverify.__all__:
        assert not isinstance(getattr(imgverify, name), type(sys)), name


def test_type_checkers_see_the_same_names() -> None:
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen | {"__version__"} == set(imgverify.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = imgverify.nothing


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, imgverify; print([m for m in sys.modules if m.startswith('imgverify.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "['imgverify.version']"


def test_the_command_line_does_without_that_of_httpx() -> None:
    code = (
        "import sys; from imgverify.cli.app import execute;"
        "execute(['verify', 'a/b@x']); import httpx; print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"


def test_comparing_an_image_needs_no_cryptography() -> None:
    """Signatures are looked at where they are asked for, and what they need is loaded then."""
    code = (
        "import sys; from imgverify.cli.app import execute;"
        "status = execute(['verify', 'a.invalid/b', '--mirror', 'c.invalid', '--timeout', '1']);"
        "heavy = {'cryptography', 'rfc3161_client', 'sigstore'} & set(sys.modules);"
        "print(status, sorted(heavy), 'imgverify.verify' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "3 [] True"


def test_a_signature_by_key_is_verified_without_what_others_need(tmp_path: Path) -> None:
    """No X.509, no TUF, no table, no policy file: each takes longer to load than the rest."""
    item, key = release("app", "1"), tmp_path / "key.pub"
    made = Deployment().make("key alone", item.manifest)
    key.write_bytes(public_pem(made.signer.key))
    heavy = {"cryptography.x509", "rfc3161_client", "rich", "ruamel", "sigstore", "tuf"}
    code = (
        "import sys; from imgverify.cli.app import execute; status = execute(sys.argv[1:]);"
        f"print(status, sorted({heavy!r} & set(sys.modules)))"
    )
    with FakeRegistry() as registry:
        put(registry.shelf, "app", item, "1")
        attach(registry.shelf, "app", item, made, place=Place.REFERRER)
        words = ["verify", f"{registry.host}/app:1", "--key", str(key), "--insecure-ignore-tlog"]
        words += ["--insecure-http", registry.host]
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("words", [["--version"], ["keys", "list"], ["keys", "--help"]])
def test_only_an_update_loads_the_tuf_client(tmp_path: Path, words: list[str]) -> None:
    code = (
        "import sys; from imgverify.cli.app import execute;"
        f"status = execute({words!r});"
        "print(status, sorted({'httpx', 'tuf', 'sigstore', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_bundle_is_verified_without_sigstore_s_own_library(tmp_path: Path) -> None:
    words = ["verify-bundle", "--bundle", str(tmp_path / "none"), "--key", str(tmp_path / "none")]
    code = (
        "import sys; from imgverify.cli.app import execute;"
        f"status = execute({[*words, 'x']!r});"
        "print(status, sorted({'httpx', 'rich', 'sigstore', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "2 []"
