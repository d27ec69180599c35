"""Hold a mirror's image against upstream's, from Python.

    python examples/verify_image.py docker.io/library/nginx:1.27 mirror.example/library/nginx:1.27

A third argument names a host to be reached over plain HTTP; it may be repeated.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from imgverify import (
    DEFAULT_POLICY,
    CredentialStore,
    Deadline,
    Decision,
    Network,
    NetworkSettings,
    Question,
    Reference,
    render_text,
    verify_image,
)
from imgverify.oci.reference import Registry


def main() -> int:
    upstream, mirror, *plain = sys.argv[1:]
    settings = NetworkSettings(insecure_http=frozenset(map(Registry.parse, plain)))
    question = Question(upstream, Reference.parse(upstream), (Reference.parse(mirror),))
    with Network(settings, CredentialStore(), Deadline.after(60)) as network:
        verdict = verify_image(question, network, DEFAULT_POLICY, datetime.now(UTC))
    sys.stdout.write(render_text([verdict], colour=False, width=None))
    return 0 if verdict.decision is Decision.ALLOW else 1


if __name__ == "__main__":
    sys.exit(main())
