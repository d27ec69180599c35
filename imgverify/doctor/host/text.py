"""What this host's runtimes would do, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.doctor.host.bypass import PROTECTIONS
from imgverify.oci import limits
from imgverify.oci.reference import DIRECT
from imgverify.registry.hostconfig.model import Runtime
from imgverify.report.escape import escape
from imgverify.report.layout import RED, YELLOW, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.doctor.host.model import Bypass, HostReport, Lookup, RuntimeReport
    from imgverify.registry.hostconfig.model import Endpoint

_TITLES: Final = {
    Runtime.DOCKER: "Docker",
    Runtime.CONTAINERS: "Podman, Buildah, Skopeo, CRI-O",
    Runtime.CONTAINERD: "containerd",
}
_PATH: Final = 4096


def render_host(report: HostReport, *, colour: bool, width: int | None) -> str:
    """Write a block for each runtime: where it looks, and how that can be got around."""
    style = Style(colour=colour, width=width)
    blocks = ["\n".join(_runtime(each, report.name, style)) for each in report.runtimes]
    blocks += ["\n".join(style.prose(each, 0)) for each in _next(report)]
    return "\n\n".join(blocks) + "\n"


def _next(report: HostReport) -> Iterator[str]:
    """Say what to ask next."""
    if not report.name:
        yield "to see where each would look, name an image: --image docker.io/library/nginx:1.27"
    commands: dict[str, dict[str, None]] = {}
    for lookup in (each for runtime in report.runtimes for each in runtime.lookups):
        for endpoint in lookup.endpoints:
            there = endpoint.image.repository
            if not endpoint.is_upstream and there.route.api_path == DIRECT.api_path:
                same = there.path == lookup.image.repository.path
                name = str(there.registry if same else endpoint.image)
                commands.setdefault(str(lookup.image), {})[_name(name)] = None
    for image, names in commands.items():
        command = f"imgverify doctor {' '.join(names)} --image {_name(image)}"
        yield f"to see what the mirrors really do: {command}"


def _runtime(runtime: RuntimeReport, name: str, style: Style) -> Iterator[str]:
    yield from _headline(runtime, name, style)
    for file in runtime.files:
        yield f"  configured in {escape(file, _PATH)}"
    if runtime.failure and runtime.hint:
        yield from style.prose(f"hint: {escape(runtime.hint)}", 2)
    elif not runtime.files:
        yield "  no configuration was found: its defaults hold"
    for lookup in runtime.lookups:
        if len(runtime.lookups) > 1:
            yield f"  as {_name(str(lookup.image))}"
        yield from _lookup(lookup, style)


def _lookup(lookup: Lookup, style: Style) -> Iterator[str]:
    for number, endpoint in enumerate(lookup.endpoints, start=1):
        yield from _endpoint(endpoint, lookup, number, style)
    for note in lookup.notes:
        yield from style.prose(f"note: {escape(note)}", 2)
    for bypass in lookup.bypasses:
        yield from _bypass(bypass, style)


def _headline(runtime: RuntimeReport, name: str, style: Style) -> Iterator[str]:
    title = _TITLES[runtime.runtime]
    if runtime.failure:
        words, code = f"cannot be told: {escape(runtime.failure, _PATH)}", RED
    elif not name:
        words, code = _configured(runtime), ""
    else:
        words, code = _judgement(runtime), YELLOW if _has_gaps(runtime) else ""
    head, *rest = style.prose(f"{title}: {words}", 0)
    said = head.removeprefix(f"{title}: ")
    yield f"{title}: {style.paint(said, f'1;{code}') if code else said}"
    yield from rest


def _has_gaps(runtime: RuntimeReport) -> bool:
    return any(each.bypasses for each in runtime.lookups)


def _configured(runtime: RuntimeReport) -> str:
    about = ", ".join(map(_name, runtime.registries))
    return f"configured for {about}" if about else "configured for no registry in particular"


def _judgement(runtime: RuntimeReport) -> str:
    if not runtime.lookups:
        return "refuses a name without a registry: none is configured to be searched"
    if len(runtime.lookups) > 1:
        return f"would look for {len(runtime.lookups)} images, one after the other"
    (lookup,) = runtime.lookups
    asked = [each for each in lookup.endpoints if each.blocked is None]
    if not asked:
        return "is forbidden to look for it"
    return f"asks {', then '.join(_who(each) for each in asked)}"


def _who(endpoint: Endpoint) -> str:
    registry = _name(str(endpoint.image.registry))
    return f"{registry} itself" if endpoint.is_upstream else registry


def _endpoint(endpoint: Endpoint, lookup: Lookup, number: int, style: Style) -> Iterator[str]:
    yield f"  {number}  {escape(endpoint.address, limits.URL_LENGTH)}"
    yield from style.prose("; ".join(filter(None, _facts(endpoint, lookup))), 5, 0)
    if endpoint.origin is not None:
        yield f"     set in {escape(str(endpoint.origin), _PATH)}"


def _facts(endpoint: Endpoint, lookup: Lookup) -> Iterator[str]:
    if endpoint.blocked is not None:
        yield f"blocked by {escape(str(endpoint.blocked), _PATH)}: it ends here"
        return
    yield "the registry itself" if endpoint.is_upstream else "mirror"
    if lookup.image.tag is not None and not endpoint.is_upstream:
        yield "may say what a tag means" if endpoint.resolves else "asked by digest alone"
    yield PROTECTIONS.get(endpoint.protection, "")
    there, here = endpoint.image.repository, lookup.image.repository
    if there.path != here.path or there.route.api_path != DIRECT.api_path:
        yield f"as {_name(str(endpoint.image))}"
    yield from map(escape, endpoint.notes)


def _bypass(bypass: Bypass, style: Style) -> Iterator[str]:
    yield ""
    word = bypass.gap.value
    head, *rest = style.prose(f"{word}: {escape(bypass.text, _PATH)}", 2)
    yield head.replace(word, style.paint(word, YELLOW), 1)
    yield from rest
    for closing in bypass.closings:
        yield from style.prose(f"to close it: {escape(closing.how, _PATH)}", 4)
        yield f"    {f'in {escape(closing.file, _PATH)}' if closing.file else 'instead'}:"
        for line in closing.text.rstrip("\n").splitlines():
            yield f"        {escape(line, _PATH)}".rstrip()


def _name(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)
