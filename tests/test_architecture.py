"""The house rules that no linter knows, each proven to fail on code that breaks it."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "imgverify"

FUNCTION_LINES = 40
FILE_LINES = 400
COMMAND_LINES = 80
# Not commands: the group with its options, the clock and the environment, and what commands share.
CLI_MODULES = (
    "app.py",
    "cosign.py",
    "material.py",
    "options.py",
    "output.py",
    "signers.py",
    "terminal.py",
    "__init__.py",
)
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
MAY_START_PROGRAMS = ("registry/credhelper.py",)
MAY_EXIT = ("__main__.py",)
# "path:Class" → why it is not frozen and slotted.
OPEN_DATACLASSES: dict[str, str] = {}

STARTERS = {"fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "startfile", "system"}
EXITS = {"SystemExit", "exit", "os._exit", "quit", "sys.exit"}
PICKLES = {"dill", "jsonpickle", "marshal", "pickle", "shelve"}
EXTRACTING = {"extract", "extractall", "unpack_archive"}

Rule = Callable[[ast.Module, str], Iterator[str]]


def imported_names(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Yield line, local name and full name of every import: ``import os as o`` is o, os."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                full = alias.name if alias.asname else alias.name.partition(".")[0]
                yield node.lineno, alias.asname or full, full  # `import os.path` binds os
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield node.lineno, alias.asname or alias.name, f"{node.module}.{alias.name}"


def qualified_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every imported or used name with its module: after ``from os import environ``, too."""
    aliases = {}
    for line, local, full in imported_names(tree):
        aliases[local] = full
        yield line, full
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, aliases.get(node.id, node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, f"{aliases.get(node.value.id, node.value.id)}.{node.attr}"


def functions_are_short(tree: ast.Module, _path: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines, of {FUNCTION_LINES} at most"


def nothing_is_async(tree: ast.Module, _path: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"{node.lineno}: async"


def only_cli_talks_to_the_process(tree: ast.Module, path: str) -> Iterator[str]:
    if path.startswith("cli/"):
        return
    for line, name in qualified_names(tree):
        if name.partition(".")[0] == "click":
            yield f"{line}: click outside cli/"
        elif name.startswith(("os.environ", "os.getenv")):
            yield f"{line}: {name} outside cli/"
        elif name in {"print", "input"}:
            yield f"{line}: {name}() outside cli/"
        elif name in EXITS and path not in MAY_EXIT:
            yield f"{line}: {name} outside cli/"


def programs_start_in_one_place(tree: ast.Module, path: str) -> Iterator[str]:
    if path in MAY_START_PROGRAMS:
        return
    for line, name in qualified_names(tree):
        module, _, member = name.partition(".")
        starts = member in STARTERS or member.startswith(("exec", "spawn"))
        if module in {"subprocess", "pty"} or (module == "os" and starts):
            yield f"{line}: {name} starts a program"


def nothing_dangerous_is_used(tree: ast.Module, _path: str) -> Iterator[str]:
    for line, name in qualified_names(tree):
        if name == "re.match":
            yield f"{line}: re.match leaves the end open; use fullmatch"
        elif name.partition(".")[0] in PICKLES or name in {"yaml.load", "yaml.unsafe_load"}:
            yield f"{line}: {name} runs what it reads"
        elif name.partition(".")[0] == "requests" or name.startswith("urllib.request"):
            yield f"{line}: {name} follows redirects, with all headers"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in EXTRACTING:
            yield f"{node.lineno}: {node.attr} writes where the archive says"
        elif isinstance(node, ast.keyword) and _is_risky(node):
            yield f"{node.value.lineno}: {node.arg} is not False"


def _is_risky(keyword: ast.keyword) -> bool:
    # A value that is not the plain False is as good as True.
    off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    return keyword.arg in {"shell", "follow_redirects", "allow_redirects"} and not off


def _is_closed(decorator: ast.expr) -> bool:
    given = decorator.keywords if isinstance(decorator, ast.Call) else []
    on = {k.arg for k in given if isinstance(k.value, ast.Constant) and k.value.value is True}
    return {"frozen", "slots"} <= on


def dataclasses_are_frozen_and_slotted(tree: ast.Module, path: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or f"{path}:{node.name}" in OPEN_DATACLASSES:
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            named = ast.unparse(called).rpartition(".")[2] == "dataclass"
            if named and not _is_closed(decorator):
                yield f"{node.lineno}: {node.name} is not a frozen, slotted dataclass"


def modules_have_telling_names(_tree: ast.Module, path: str) -> Iterator[str]:
    vague = VAGUE_NAMES.intersection(Path(path).with_suffix("").parts)
    if vague:
        yield f"1: no module is named {vague.pop()}: name the concept"


RULES: list[Rule] = [
    functions_are_short,
    nothing_is_async,
    only_cli_talks_to_the_process,
    programs_start_in_one_place,
    nothing_dangerous_is_used,
    dataclasses_are_frozen_and_slotted,
    modules_have_telling_names,
]


def file_length_limit(path: str) -> int:
    folder, _, name = path.rpartition("/")
    return (
        COMMAND_LINES if folder in ("cli", "cli/keys") and name not in CLI_MODULES else FILE_LINES
    )


def source_files() -> Iterator[tuple[str, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule) -> None:
    broken = [
        f"imgverify/{path}:{complaint}"
        for path, text in source_files()
        for complaint in rule(ast.parse(text), path)
    ]
    assert broken == []


def test_files_are_short() -> None:
    sizes = {path: len(text.splitlines()) for path, text in source_files()}
    assert sizes
    assert {p: n for p, n in sizes.items() if n > file_length_limit(p)} == {}


def test_make_py_is_short() -> None:
    text = (ROOT / "make.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES
    assert list(functions_are_short(ast.parse(text), "make.py")) == []


def test_every_exception_from_a_rule_still_exists() -> None:
    classes = {
        f"{path}:{node.name}"
        for path, text in source_files()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }
    assert set(OPEN_DATACLASSES) <= classes


BREAKING = [
    (functions_are_short, "cli/x.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (nothing_is_async, "cli/x.py", "async def f(): pass"),
    (only_cli_talks_to_the_process, "verify.py", "import click"),
    (only_cli_talks_to_the_process, "verify.py", "from click.termui import style"),
    (only_cli_talks_to_the_process, "verify.py", "import os\nx = os.environ['A']"),
    (only_cli_talks_to_the_process, "verify.py", "import os as o\nx = o.getenv('A')"),
    (only_cli_talks_to_the_process, "verify.py", "import os.path\nx = os.environ['A']"),
    (only_cli_talks_to_the_process, "verify.py", "from os import environ"),
    (only_cli_talks_to_the_process, "verify.py", "print('x')"),
    (only_cli_talks_to_the_process, "verify.py", "import sys\nsys.exit(1)"),
    (only_cli_talks_to_the_process, "verify.py", "raise SystemExit"),
    (only_cli_talks_to_the_process, "__main__.py", "print('x')"),
    (programs_start_in_one_place, "cli/x.py", "import subprocess"),
    (programs_start_in_one_place, "pull/engine.py", "from subprocess import run"),
    (programs_start_in_one_place, "pull/engine.py", "import os\nos.execvp('x', [])"),
    (nothing_dangerous_is_used, "oci/x.py", "import re\nre.match('a', 'b')"),
    (nothing_dangerous_is_used, "oci/x.py", "from re import match"),
    (nothing_dangerous_is_used, "oci/x.py", "archive.extractall('x')"),
    (nothing_dangerous_is_used, "oci/x.py", "archive.extract(member, 'x', filter='data')"),
    (nothing_dangerous_is_used, "oci/x.py", "import shutil\nshutil.unpack_archive('x')"),
    (nothing_dangerous_is_used, "oci/x.py", "import marshal"),
    (nothing_dangerous_is_used, "oci/x.py", "import yaml\nyaml.load(x, Loader=y)"),
    (nothing_dangerous_is_used, "oci/x.py", "from urllib.request import urlopen"),
    (nothing_dangerous_is_used, "oci/x.py", "import urllib.request as r\nr.urlopen(x)"),
    (nothing_dangerous_is_used, "oci/x.py", "import requests"),
    (nothing_dangerous_is_used, "oci/x.py", "get('x', allow_redirects=True)"),
    (nothing_dangerous_is_used, "oci/x.py", "import pickle"),
    (nothing_dangerous_is_used, "oci/x.py", "run('x', shell=True)"),
    (nothing_dangerous_is_used, "oci/x.py", "get('x', follow_redirects=True)"),
    (nothing_dangerous_is_used, "oci/x.py", "get('x', follow_redirects=wanted)"),
    (dataclasses_are_frozen_and_slotted, "a.py", "@dataclass\nclass A: pass"),
    (dataclasses_are_frozen_and_slotted, "a.py", "@dataclass(frozen=True)\nclass A: pass"),
    (dataclasses_are_frozen_and_slotted, "a.py", "@dataclasses.dataclass()\nclass A: pass"),
    (modules_have_telling_names, "oci/utils.py", ""),
    (modules_have_telling_names, "helpers/digest.py", ""),
]
KEEPING = [
    (functions_are_short, "x.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
    (only_cli_talks_to_the_process, "cli/x.py", "import click\nprint(click)"),
    (only_cli_talks_to_the_process, "__main__.py", "import sys\nsys.exit(main())"),
    (only_cli_talks_to_the_process, "pull/engine.py", "import os\nos.rename('a', 'b')"),
    (programs_start_in_one_place, "registry/credhelper.py", "import subprocess"),
    (nothing_dangerous_is_used, "oci/x.py", "import re\nre.fullmatch('a', 'b')"),
    (nothing_dangerous_is_used, "oci/x.py", "get('x', follow_redirects=False)"),
    (
        dataclasses_are_frozen_and_slotted,
        "a.py",
        "@dataclass(frozen=True, slots=True)\nclass A: x: int",
    ),
    (modules_have_telling_names, "oci/digest.py", ""),
]


def complaints(rule: Rule) -> list[str]:
    return [each for path, text in source_files() for each in rule(ast.parse(text), path)]


def test_arg_injection_programs_are_started_by_a_list_of_words_in_one_place() -> None:
    assert complaints(programs_start_in_one_place) == []
    breaking = "import os\nos.system('x ' + reference)", "run(words, shell=True)"
    assert list(programs_start_in_one_place(ast.parse(breaking[0]), "pull/engine.py"))
    assert list(nothing_dangerous_is_used(ast.parse(breaking[1]), "registry/credentials.py"))


@pytest.mark.parametrize("source", ["from urllib import request", "x(allow_redirects=True)"])
def test_redirect_custom_headers_no_client_that_follows_redirects_is_used(source: str) -> None:
    assert complaints(nothing_dangerous_is_used) == []
    assert list(nothing_dangerous_is_used(ast.parse(source), "registry/session.py"))


@pytest.mark.parametrize("source", ["tar.extract(member)", "tar.extractall(filter='data')"])
def test_tar_extraction_no_archive_is_ever_extracted(source: str) -> None:
    assert complaints(nothing_dangerous_is_used) == []
    assert list(nothing_dangerous_is_used(ast.parse(source), "compare/expand.py"))


@pytest.mark.parametrize("source", ["import pickle", "from marshal import loads", "import shelve"])
def test_no_pickle_nothing_that_runs_what_it_reads_is_used(source: str) -> None:
    assert complaints(nothing_dangerous_is_used) == []
    assert list(nothing_dangerous_is_used(ast.parse(source), "store/layout.py"))


def test_regex_newline_unicode_patterns_are_matched_whole_and_in_ascii() -> None:
    assert complaints(nothing_dangerous_is_used) == []
    loose = [
        f"{path}:{node.lineno}"
        for path, text in source_files()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile"
        if re.search(r"\\[wsdb]|IGNORECASE", ast.unparse(node))
        and "re.ASCII" not in ast.unparse(node)
    ]
    assert loose == []


@pytest.mark.parametrize(("rule", "path", "source"), BREAKING)
def test_a_broken_rule_is_noticed(rule: Rule, path: str, source: str) -> None:
    assert list(rule(ast.parse(source), path))


@pytest.mark.parametrize(("rule", "path", "source"), KEEPING)
def test_what_is_allowed_passes(rule: Rule, path: str, source: str) -> None:
    assert list(rule(ast.parse(source), path)) == []


def test_commands_get_less_room_than_other_files() -> None:
    assert file_length_limit("cli/verify.py") == COMMAND_LINES
    assert file_length_limit("cli/app.py") == FILE_LINES
    assert file_length_limit("verify.py") == FILE_LINES


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # Not measured: coverage would write its data into the folder under test.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTHONPATH"))}
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_import_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("oci/digest.py", "import httpx", "Deciding does no I/O"),
        ("verdict.py", "import os", "Deciding does no I/O"),
        ("signature/verify.py", "import pathlib", "Deciding does no I/O"),
        ("errors.py", "import imgverify.verdict", "Imports point down"),
        ("signature/verify.py", "import imgverify.trust", "Imports point down"),
        ("registry/__init__.py", "import imgverify.store", "Imports point down"),
    ],
)
def test_a_broken_contract_is_noticed(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "imgverify", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "imgverify" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout
