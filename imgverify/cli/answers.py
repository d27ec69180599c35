"""What is found out about the images that files name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgverify.cli.signers import requirements_of
from imgverify.errors import InputError
from imgverify.oci import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgverify.cli.app import App
    from imgverify.cli.options import Asked, Manner
    from imgverify.cli.signers import Signers
    from imgverify.gate.mention import Mention
    from imgverify.verdict import Verdict


def answers(
    app: App,
    named: Mapping[str, tuple[Mention, ...]],
    options: tuple[Asked, Signers, Manner],
) -> dict[str, Verdict | InputError]:
    """Return what is found out about each image, asked once; raises `InputError`."""
    asked, signers, manner = options
    read, access = app.questions_each(tuple(each[0].text for each in named.values()), asked)
    policy = app.policy(requirements_of(signers, app.trusted_roots))
    questions = [each for each in read if not isinstance(each, InputError)]

    from imgverify.verify import verify_all  # noqa: PLC0415 - after usage errors

    with app.network(manner, access) as network:
        verdicts = verify_all(questions, network, policy, app.now, at_once=limits.GATE_AT_ONCE)
    rest = iter(verdicts)
    found = (each if isinstance(each, InputError) else next(rest) for each in read)
    return dict(zip(named, found, strict=True))
