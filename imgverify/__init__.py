"""imgverify: is the image a mirror gives you the one upstream published?

A name below is loaded when it is first used, so that importing the package costs nothing::

    from imgverify import Deadline, Network, NetworkSettings, Question, Reference, verify_image

`verify_image` and `pull_image` are called so because `imgverify.verify` and `imgverify.pull` are
packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from imgverify.version import __version__

if TYPE_CHECKING:
    from imgverify.errors import ImgverifyError
    from imgverify.oci.digest import Digest
    from imgverify.oci.local import LocalCopy
    from imgverify.oci.platform import Platform
    from imgverify.oci.reference import Reference
    from imgverify.policy.model import DEFAULT_POLICY, Policy
    from imgverify.pull.engine import Delivery
    from imgverify.pull.engine import pull as pull_image
    from imgverify.pull.progress import Progress, Silence
    from imgverify.registry.client import Network
    from imgverify.registry.credentials import CredentialStore
    from imgverify.registry.deadline import Deadline
    from imgverify.registry.session import NetworkSettings
    from imgverify.report.jsonreport import render_json
    from imgverify.report.text import render_text
    from imgverify.store.sink import open_sink
    from imgverify.verdict import Decision, Finding, Grade, Verdict
    from imgverify.verify import Question, verify_for_pull
    from imgverify.verify import verify as verify_image

_HOMES = {
    "CredentialStore": "registry.credentials",
    "DEFAULT_POLICY": "policy.model",
    "Deadline": "registry.deadline",
    "Decision": "verdict",
    "Delivery": "pull.engine",
    "Digest": "oci.digest",
    "Finding": "verdict",
    "Grade": "verdict",
    "ImgverifyError": "errors",
    "LocalCopy": "oci.local",
    "Network": "registry.client",
    "NetworkSettings": "registry.session",
    "Platform": "oci.platform",
    "Policy": "policy.model",
    "Progress": "pull.progress",
    "Question": "verify",
    "Reference": "oci.reference",
    "Silence": "pull.progress",
    "Verdict": "verdict",
    "open_sink": "store.sink",
    "render_json": "report.jsonreport",
    "render_text": "report.text",
    "pull_image": "pull.engine",
    "verify_for_pull": "verify",
    "verify_image": "verify",
}
_NAMES_AT_HOME = {"pull_image": "pull", "verify_image": "verify"}

__all__ = [
    "DEFAULT_POLICY",
    "CredentialStore",
    "Deadline",
    "Decision",
    "Delivery",
    "Digest",
    "Finding",
    "Grade",
    "ImgverifyError",
    "LocalCopy",
    "Network",
    "NetworkSettings",
    "Platform",
    "Policy",
    "Progress",
    "Question",
    "Reference",
    "Silence",
    "Verdict",
    "__version__",
    "open_sink",
    "pull_image",
    "render_json",
    "render_text",
    "verify_for_pull",
    "verify_image",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'imgverify' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"imgverify.{home}"), _NAMES_AT_HOME.get(name, name))
