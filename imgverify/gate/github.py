"""Images that GitHub's workflows and actions name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.gate.tree import Mapping, maps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgverify.gate.mention import Mention
    from imgverify.gate.source import Source
    from imgverify.gate.tree import Node

_DOCKER: Final = "docker://"


def is_workflow(document: Mapping) -> bool:
    """Tell whether a document is a workflow: it has jobs, and says when they run."""
    return document.map("jobs") is not None and document.get("on") is not None


def is_action(document: Mapping) -> bool:
    """Tell whether a document describes an action."""
    runs = document.map("runs")
    return runs is not None and runs.has("using")


def workflow(source: Source, document: Mapping) -> Iterator[Mention]:
    """Yield the containers of jobs, their services, and the images that steps run."""
    for jobs in document.values("jobs"):
        for _, job in jobs.entries if isinstance(jobs, Mapping) else ():
            if isinstance(job, Mapping):
                yield from _job(source, job)


def action(source: Source, document: Mapping) -> Iterator[Mention]:
    """Yield the image that an action is, or those that its steps run."""
    for runs in document.values("runs"):
        if isinstance(runs, Mapping):
            for image in runs.values("image"):
                yield from _docker(source, image)
            yield from _steps(source, runs)


def _job(source: Source, job: Mapping) -> Iterator[Mention]:
    images: list[Node] = []
    for container in job.values("container"):
        images += container.values("image") if isinstance(container, Mapping) else (container,)
    for services in job.values("services"):
        for _, service in services.entries if isinstance(services, Mapping) else ():
            images += service.values("image") if isinstance(service, Mapping) else (service,)
    yield from source.mentions_at(images)
    yield from _steps(source, job)


def _steps(source: Source, holder: Mapping) -> Iterator[Mention]:
    for steps in holder.values("steps"):
        for step in maps(steps):
            for uses in step.values("uses"):
                yield from _docker(source, uses)


def _docker(source: Source, node: Node) -> Iterator[Mention]:
    scalar = node.scalar.stripped if node.scalar is not None else None
    if scalar is not None and scalar.value.startswith(_DOCKER):
        yield source.mention(scalar.after(_DOCKER))
