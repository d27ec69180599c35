import re
from pathlib import Path

import pytest

import make
from tests.support import components

SIMPLE_PAGE = f"""<!DOCTYPE html><html><body>
<a href="pip-1.0-py3-none-any.whl#sha256=00">pip-1.0-py3-none-any.whl</a>
<a href="../../packages/aa/{make.PIP_WHEEL}#sha256=11">{make.PIP_WHEEL}</a>
<a href="../../packages/aa/{make.PIP_WHEEL}.metadata">metadata</a>
</body></html>"""


def test_the_wheel_is_found_relative_to_the_index_page() -> None:
    found = make.wheel_in(SIMPLE_PAGE, "https://index.example/root/simple/pip/")
    assert found == f"https://index.example/root/packages/aa/{make.PIP_WHEEL}"


def test_an_index_without_the_wheel_gives_none() -> None:
    assert make.wheel_in("<a href='pip-1.0.tar.gz'>x</a>", "https://index.example/pip/") is None


def test_a_wheel_with_another_hash_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([SIMPLE_PAGE.encode(), b"not the wheel that was pinned"])
    monkeypatch.setattr(make, "_fetch", lambda _address: next(answers))
    monkeypatch.setattr(make, "_run", lambda *_: pytest.fail("it was run"))
    with pytest.raises(ValueError, match="unexpected SHA-256"):
        make._bootstrap_pip()


def test_the_environment_goes_before_pip_configuration_files(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://file.example/simple\n")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    assert make.pip_setting("index-url", environ) == "https://file.example/simple"
    environ["PIP_INDEX_URL"] = "https://variable.example/simple"
    assert make.pip_setting("index-url", environ) == "https://variable.example/simple"


def test_the_users_configuration_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "pip"
    folder.mkdir()
    (folder / "pip.conf").write_text("[global]\nindex-url = https://user.example/simple\n")
    environ = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path)}
    assert make.pip_setting("index-url", environ) == "https://user.example/simple"
    environ["PIP_CONFIG_FILE"] = "/dev/null"
    assert make.pip_setting("index-url", environ) is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8", (1, 26)), ("module m\n\ngo 1.25.0\n", (1, 25)), ("go1.9", (1, 9))],
)
def test_go_versions_are_read_from_go_and_from_modules(text: str, version: tuple[int, int]) -> None:
    assert make.go_version(text) == version


def test_no_go_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="no Go version"):
        make.go_version("devel")


BUILT = [name for name, peer in make.peer_table().items() if "package" in peer]


@pytest.mark.parametrize("name", BUILT)
def test_the_table_and_the_module_of_a_component_name_one_version(name: str) -> None:
    peer = make.peer_table()[name]
    module = (make.PEERS / name / "go.mod").read_text()
    required = re.search(r"^require (\S+) v(\S+)$", module, re.MULTILINE)
    assert required is not None
    assert f"{peer['package']}/".startswith(f"{required[1]}/")
    assert peer["version"] == required[2]
    assert f'import _ "{peer["package"]}"' in (make.PEERS / name / "tools.go").read_text()
    assert (make.PEERS / name / "go.sum").stat().st_size > 0


def test_a_built_component_is_found_by_name_and_version(tmp_path: Path) -> None:
    environ = {"IMGVERIFY_PEERS": str(tmp_path)}
    assert make.find_peer("olareg", environ) is None
    binary = tmp_path / "bin" / f"olareg-{make.peer_table()['olareg']['version']}"
    binary.parent.mkdir()
    binary.touch(mode=0o755)
    assert make.find_peer("olareg", environ) == binary


def test_the_cache_follows_the_xdg_specification() -> None:
    environ = {"HOME": "/home/user"}
    assert make.peer_cache(environ) == Path("/home/user/.cache/imgverify-peers")
    environ["XDG_CACHE_HOME"] = "/cache"
    assert make.peer_cache(environ) == Path("/cache/imgverify-peers")


def test_a_missing_component_is_named_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMGVERIFY_PEERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert components.missing(["skopeo", "olareg"]) == ["skopeo", "olareg"]
    with pytest.raises(components.MissingComponentError, match=r"olareg is not .* make peers"):
        components.olareg()


def test_an_unknown_component_is_a_mistake_not_a_missing_one() -> None:
    with pytest.raises(ValueError, match="zot"):
        components.missing(["zot"])


def test_an_unknown_target_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert make.main(["nonsense"]) == 2
    assert "usage:" in capsys.readouterr().err
