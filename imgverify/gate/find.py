"""What a file is, by its name and by what it says, and then what it names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imgverify.errors import Unparsable
from imgverify.gate.compose import compose, is_compose
from imgverify.gate.dockerfile import dockerfile
from imgverify.gate.github import action, is_action, is_workflow, workflow
from imgverify.gate.gitlab import is_pipeline, pipeline
from imgverify.gate.jsontree import read_json
from imgverify.gate.kubernetes import ImagePath, is_kubernetes, kubernetes
from imgverify.gate.kustomize import is_kustomization, kustomization
from imgverify.gate.mention import Kind, Location, Mention, Reading, Trouble
from imgverify.gate.plainlist import plain_list
from imgverify.gate.source import Source
from imgverify.gate.tree import Mapping
from imgverify.gate.yamltree import parts, read_documents
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgverify.gate.tree import Node

    Finder = Callable[[Source, Mapping], Iterator[Mention]]

#: The name of standard input.
STDIN: Final = "-"

_NAMES: Final = (
    (
        Kind.DOCKERFILE,
        # With an ending only as it is written by convention: dockerfile.go is a program.
        re.compile(
            r"(?:.*\.)?(?:(?:[Dd]ocker|[Cc]ontainer)file"
            r"|(?:Docker|Container)file\.(?!dockerignore\Z).*)"
        ),
    ),
    (Kind.DEVCONTAINER, re.compile(r"\.?devcontainer\.json")),
    (Kind.LIST, re.compile(r"images\.txt|.*\.list")),
    (Kind.YAML, re.compile(r".*\.ya?ml|Kustomization")),
    (Kind.JSON, re.compile(r".*\.json")),
)
# What a chart is filled in with; only a template says what becomes of it.
_VALUES: Final = re.compile(r"(?:.*[.-])?values(?:[.-].*)?\.ya?ml")
# Not just any braces: alerts and other tools' templates have them, in texts of rendered objects.
_HELM: Final = re.compile(
    r"(?<!\$)\{\{[^{}\n]*?(?:\.(?:Values|Release|Chart|Capabilities)\b|\binclude[ \t]+\")", re.ASCII
)
_BRACES: Final = "{{"
_TELLING: Final = re.compile(
    r"^[ \t]*(?:-[ \t]+)?[\"']?(?:apiVersion|containers|images?|kind|services|uses)[\"']?[ \t]*:",
    re.MULTILINE | re.ASCII,
)
_DOCKER_START: Final = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\r?\n|[ \t]*ARG[ \t][^\n]*\n)*[ \t]*FROM[ \t]+\S",
    re.ASCII | re.IGNORECASE,
)
_YAML_START: Final = re.compile(
    r"^[\"']?(?:apiVersion|kind|services|jobs|runs|stages|image|images|default)[\"']?[ \t]*:",
    re.MULTILINE | re.ASCII,
)
_OBJECT: Final = (b'"apiVersion"', b'"kind"')
_TOO_MANY: Final = "too many documents do not parse: nothing after this was read"
_UNRENDERED: Final = "a template of a Helm chart; check what helm template prints"


def kind_of(path: str) -> Kind | None:
    """Tell by its name what a file is; None for one that names no images."""
    name = path.rpartition("/")[2]
    return next((kind for kind, pattern in _NAMES if pattern.fullmatch(name)), None)


def find(
    path: str, data: bytes, *, paths: tuple[ImagePath, ...] = (), is_named: bool = False
) -> Reading:
    """Find all references in a file; raises nothing.

    `is_named` says that somebody wants this very file to be looked at, so that it is a list of
    images if it is nothing else.
    """
    kind = kind_of(path)
    told = kind is not None or is_named
    if not told or (kind is Kind.JSON and not all(each in data for each in _OBJECT)):
        return Reading(path)
    try:
        source = Source.of(path, data)
    except Unparsable as error:
        return unread(path, error.message, error.line)
    return _Finder(source, paths).reading(kind or _by_content(source.text))


def unread(path: str, problem: str, line: int = 1) -> Reading:
    """Return what is known of a file that could not be read."""
    return Reading(path, troubles=(Trouble(Location(path, line), problem),))


def _by_content(text: str) -> Kind:
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("{") and not start.startswith(_BRACES):
        return Kind.JSON
    if _DOCKER_START.match(text):
        return Kind.DOCKERFILE
    return Kind.YAML if _YAML_START.search(text) else Kind.LIST


def _trouble(path: str, error: Unparsable) -> Trouble:
    return Trouble(Location(path, error.line, error.column), error.message)


class _Finder:
    """Collects what one file names."""

    def __init__(self, source: Source, paths: tuple[ImagePath, ...]) -> None:
        self._source = source
        self._paths = paths
        self._mentions: dict[tuple[Location, str], Mention] = {}
        self._troubles: list[Trouble] = []

    def reading(self, kind: Kind) -> Reading:
        """Find by kind."""
        if kind is Kind.YAML:
            self._yaml()
        else:
            self._try(lambda: self._whole(kind))
        mentions = tuple(each for _, each in sorted(self._mentions.items()))
        return Reading(self._source.path, mentions, tuple(self._troubles))

    def _try(self, mentions: Callable[[], Iterator[Mention]]) -> None:
        """Note what is found, and what stops the search."""
        try:
            for each in mentions():
                if len(self._mentions) == limits.GATE_REFERENCES:
                    message = f"the file has more than {limits.GATE_REFERENCES} references"
                    self._troubles.append(Trouble(each.location, message))
                    return
                # An alias is at its anchor; a text with escapes may name two images at one place.
                self._mentions.setdefault((each.location, each.text), each)
        except Unparsable as error:
            self._troubles.append(_trouble(self._source.path, error))

    def _whole(self, kind: Kind) -> Iterator[Mention]:
        if kind is Kind.DOCKERFILE:
            return dockerfile(self._source)
        if kind is Kind.LIST:
            return plain_list(self._source)
        node = read_json(self._source)
        if kind is Kind.DEVCONTAINER:
            return self._devcontainer(node)
        return self._document(node)

    def _devcontainer(self, node: Node) -> Iterator[Mention]:
        images = node.values("image") if isinstance(node, Mapping) else ()
        return self._source.mentions_at(images)

    def _yaml(self) -> None:
        source, text = self._source, self._source.text
        helm = _HELM.search(text)
        if helm and (_is_template(source.path) or _TELLING.search(text)):
            self._troubles.append(Trouble(source.location(helm.start()), _UNRENDERED))
            return
        failed = 0
        for begin, end in parts(text, source.start):
            if failed == limits.GATE_TROUBLES:
                self._troubles.append(Trouble(source.location(begin), _TOO_MANY))
                return
            failed += not self._part(begin, end)

    def _part(self, begin: int, end: int) -> bool:
        """Look through what stands between two places; returns whether it could be read."""
        try:
            documents = read_documents(self._source.text, begin, end)
        except Unparsable as error:
            self._unparsable(begin, end, error)
            return False
        for each in documents:
            self._try(lambda node=each: self._document(node))  # type: ignore[misc] # bound now
        return True

    def _unparsable(self, begin: int, end: int, error: Unparsable) -> None:
        """Note a document that cannot be read, if it is one of those that name images."""
        source = self._source
        unrendered = _BRACES in source.text[begin:end]
        known = _is_known(source.path) or (unrendered and _is_template(source.path))
        if known or _TELLING.search(source.text, begin, end):
            trouble = _trouble(source.path, error)
            self._troubles.append(replace(trouble, message=_UNRENDERED) if unrendered else trouble)

    def _document(self, node: Node) -> Iterator[Mention]:
        if not isinstance(node, Mapping):
            return iter(())
        finder = _by_name(self._source.path, node) or _by_shape(self._source.path, node)
        if finder is not None:
            return finder(self._source, node)
        if is_kubernetes(node):
            return kubernetes(self._source, node, self._paths)
        return iter(())


def _is_template(path: str) -> bool:
    return "templates" in path.split("/")[:-1]


_BY_NAME: Final = (
    (re.compile(r"(?:.*/)?(?:kustomization\.ya?ml|Kustomization)"), kustomization),
    (re.compile(r"(?:.*/)?\.(?:github|gitea|forgejo)/workflows/[^/]*\.ya?ml"), workflow),
    (re.compile(r"(?:.*/)?action\.ya?ml"), action),
    (re.compile(r"(?:.*/)?(?:[^/]*\.)?gitlab-ci\.ya?ml"), pipeline),
    (re.compile(r"(?:.*/)?(?:docker-|container-|podman-)?compose(?:[._-][^/]*)?\.ya?ml"), compose),
)


def _is_known(path: str) -> bool:
    return any(pattern.fullmatch(path) for pattern, _ in _BY_NAME)


def _by_name(path: str, document: Mapping) -> Finder | None:
    if is_kubernetes(document) and not is_kustomization(document):
        return None
    return next((finder for pattern, finder in _BY_NAME if pattern.fullmatch(path)), None)


def _by_shape(path: str, document: Mapping) -> Finder | None:
    """Tell by its keys what a document is whose file has a name of its own."""
    if is_kustomization(document):
        return kustomization
    if is_kubernetes(document) or _VALUES.fullmatch(path.rpartition("/")[2]):
        return None
    shapes = (
        (is_workflow, workflow),
        (is_action, action),
        (is_compose, compose),
        (is_pipeline, pipeline),
    )
    return next((finder for is_one, finder in shapes if is_one(document)), None)
