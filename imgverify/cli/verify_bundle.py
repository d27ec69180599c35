"""`imgverify verify-bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from imgverify.cli.app import App
    from imgverify.exitcode import ExitCode

_FILE: Final = click.Path(path_type=Path)


@click.command("verify-bundle")
@click.argument("artifact", metavar="FILE|DIGEST")
@click.option("--bundle", type=_FILE, required=True, metavar="FILE", help="The Sigstore bundle.")
@click.option("--certificate-identity", metavar="NAME", help="Whom the certificate has to name.")
@click.option("--certificate-oidc-issuer", metavar="URL", help="Who has to vouch for the login.")
@click.option("--key", type=_FILE, metavar="FILE", help="The signer's public key, as PEM.")
@click.option(
    "--trusted-root",
    type=_FILE,
    metavar="FILE",
    help="Whom to believe. Default: the public Sigstore instance.",
)
@click.option("--staging", is_flag=True, help="Expect the staging instance; name its root.")
@click.pass_obj
def command(app: App, /, *, artifact: str, **words: Any) -> ExitCode:  # noqa: ANN401 - as declared above
    """Say whether a Sigstore bundle vouches for a file, or for a digest.

    Nothing is asked over the network. A statement of any type will do if it is about the file.

    \b
    imgverify verify-bundle --bundle app.sigstore.json app.tar \\
        --certificate-identity me@example.com --certificate-oidc-issuer https://login.example.com
    imgverify verify-bundle --bundle app.sigstore.json --key signer.pub sha256:...
    """  # noqa: D301 - click's sign for lines that are kept
    from imgverify.cli.bundle import Words, judge_bundle  # noqa: PLC0415 - loads cryptography

    return judge_bundle(artifact, Words(**words), app)
