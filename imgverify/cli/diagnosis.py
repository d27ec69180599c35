"""What `imgverify doctor` does once its words are understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.cli.output import terminal_width, write_report
from imgverify.doctor.host.gather import gather_host
from imgverify.doctor.host.report import report_host
from imgverify.doctor.host.text import render_host
from imgverify.doctor.jsonreport import render_json
from imgverify.doctor.observation import Place
from imgverify.doctor.text import render_text
from imgverify.errors import InputError
from imgverify.oci.reference import Reference
from imgverify.registry.mirrors import Namespace, read_mirror

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.options import Manner
    from imgverify.registry.hostconfig.read import HostPlaces
    from imgverify.verdict import Decision


def of_mirrors(
    app: App, mirrors: tuple[str, ...], images: tuple[str, ...], manner: Manner
) -> list[Decision]:
    """Ask the mirrors, print what was found out, and return what follows for each."""
    references = tuple(dict.fromkeys(map(Reference.parse, images)))
    places = tuple(_place(each, references) for each in dict.fromkeys(mirrors))

    from imgverify.doctor.gather import gather  # noqa: PLC0415 - after usage errors
    from imgverify.doctor.judgement import judge  # noqa: PLC0415 - as above

    with app.network(manner) as network:
        reports = judge(gather(network, places, references), app.now)
    colour = app.colour and manner.output is None
    json = manner.form == "json"
    text = render_text(reports, colour=colour, width=terminal_width())
    write_report(render_json(reports) if json else text, manner.output)
    return [each.decision for each in reports]


def of_host(
    app: App, places: HostPlaces, images: tuple[str, ...], manner: Manner
) -> list[Decision]:
    """Read this host's configuration, and print what its runtimes would do for each image."""
    for each in images:
        Reference.parse(each)
    found = gather_host(places)
    reports = [report_host(each, found) for each in dict.fromkeys(images or ("",))]
    colour, width = app.colour and manner.output is None, terminal_width()
    text = "\n".join(render_host(each, colour=colour, width=width) for each in reports)
    write_report(render_json((), reports) if manner.form == "json" else text, manner.output)
    return [each.decision for each in reports]


def _place(text: str, images: tuple[Reference, ...]) -> Place:
    if not images:
        return _nameless(text)
    named = tuple(read_mirror(text, each) for each in images)
    if len(set(named)) < len(named):
        msg = f"{text} is one image, and cannot stand for {len(named)}"
        raise InputError(msg, hint="name a host, or a path that ends in a slash")
    return Place(text, named[0].registry, named)


def _nameless(text: str) -> Place:
    namespace = Namespace.parse(text.removesuffix("/"))
    if namespace.path:
        msg = f"{text} is more than a host, and no image was named that is to be found there"
        raise InputError(msg, hint="name an image by its upstream name: --image REF")
    return Place(text, namespace.registry)
