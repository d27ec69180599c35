"""`imgverify gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgverify.cli import options
from imgverify.cli.answers import answers
from imgverify.cli.files import look_through, names_files
from imgverify.cli.gatereport import FORMATS, annotate, print_outcome
from imgverify.cli.output import tell
from imgverify.cli.signers import signs
from imgverify.exitcode import of_outcome
from imgverify.gate.outcome import conclude, gather

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.cli.files import Files
    from imgverify.cli.signers import Signers
    from imgverify.exitcode import ExitCode


@click.command("gate")
@names_files
@click.option(
    "--github",
    is_flag=True,
    help="Also write annotations for GitHub Actions, to standard error, and the step summary.",
)
@options.asks_deep
@signs
@options.in_manner(timeout=900, formats=FORMATS)
@click.pass_obj
def command(
    app: App,
    *,
    files: Files,
    github: bool,
    asked: options.Asked,
    signers: Signers,
    manner: options.Manner,
) -> ExitCode:
    """Verify every image that files name: manifests, Dockerfiles, pipelines.

    PATH is a file, a folder, or - for standard input. Found are Kubernetes and Kustomize YAML,
    Compose files, Dockerfiles, GitHub workflows and actions, GitLab pipelines,
    devcontainer.json, and lists (images.txt, *.list, any other file that is named).

    \b
    imgverify gate k8s/ compose.yaml Dockerfile --mirror mirror.example
    helm template chart/ | imgverify gate - --mirror mirror.example --format sarif -o out.sarif
    """  # noqa: D301 - click's sign for lines that are kept
    found = gather(reading for _, reading in look_through(files))
    told = answers(app, found.resolvable, (asked, signers, manner)) if found.resolvable else {}
    outcome = conclude(found, told, allow_empty=files.allow_empty)
    app.detail_sources([each.verdict for each in outcome.images if each.verdict])
    print_outcome(outcome, manner, colour=app.colour)
    if github:
        annotate(app, outcome)
    if outcome.is_empty and not files.allow_empty:
        tell("imgverify: no image is named in what was looked through")
        tell("  name other files, or --allow-empty where that may be so")
    return of_outcome(outcome)
