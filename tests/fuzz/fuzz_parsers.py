"""Throws mutated input at the parsers; any other error than theirs is a bug.

    python -m tests.fuzz.fuzz_parsers --seconds 20 [--seed N] [TARGET…]

With atheris installed the input is guided by coverage; otherwise it is mutated at random, in a
way that keeps JSON readable often enough to get behind the reader.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import json
import random
import sys
import time
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from imgverify.errors import ContentError, InputError, Malformed, Unauthorized
from imgverify.oci.config import parse_config
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.mediatype import OCI_INDEX, OCI_MANIFEST, Kind, MediaType
from imgverify.oci.reference import Reference, Registry
from imgverify.oci.strictjson import loads
from imgverify.registry.authfile import AuthFile, parse_credentials
from imgverify.registry.challenge import parse_challenges
from imgverify.registry.credentials import Credentials
from imgverify.registry.hostconfig.certificates import CertificateFolder
from imgverify.registry.hostconfig.containerd import ContainerdConfiguration, HostFolder
from imgverify.registry.hostconfig.containers import merge
from imgverify.registry.hostconfig.docker import parse_daemon
from imgverify.registry.hostconfig.registriesconf import parse_registries
from imgverify.registry.ratelimit import parse_rate_limit
from imgverify.registry.tokenserver import parse_token, token_requests, wish_for
from imgverify.signature import timestamp
from imgverify.signature.bundle import Bundle
from imgverify.signature.certificate import Certificate, decode_pem
from imgverify.signature.checkpoint import Checkpoint
from imgverify.signature.claim import Claim
from imgverify.signature.cosign import Layer
from imgverify.signature.dsse import Envelope
from imgverify.signature.entrybody import Signature, check_body, documents_of
from imgverify.signature.keys import PublicKey, Scheme
from imgverify.signature.statement import Statement
from imgverify.trust.trustedroot import parse_trusted_roots
from tests.fuzz import copy_targets, gate_targets, line_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Target = Callable[[bytes], object]

SEEDS = Path(__file__).parent / "seeds"
REFUSED = (ContentError, InputError, Unauthorized)
REGISTRY = Registry("reg.test")
CONFIG_LAYERS = 2

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 1.5, 2**31, 2**63 - 1, 2**63, "", "a", "a/b", "sha256:",
    "sha256:" + "0" * 64, "linux", "\u0000", "\u2028", [], {}, [[]], [{}], {"": ""},
]  # fmt: skip
TOKENS = [
    b"", b"\0", b"\n", b"\xff", b"\xef\xbb\xbf", b"/", b":", b"@", b".", b"..", b"-", b"__", b"A",
    b"0", b"9" * 30, b"[::1]", b"docker.io/", b"localhost/", b"://", b";", b"NaN", b"1e999", b"{",
    b"[" * 100, b'"a":1,', b"\\ud800", b"sha512:", "\u212a".encode(), "\uff11".encode(),
]  # fmt: skip


def read_reference(data: bytes) -> object:
    """Read a reference, which is then its own canonical form."""
    reference = Reference.parse(data.decode("utf-8", "replace"))
    assert Reference.parse(str(reference)) == reference
    return reference


def read_digest(data: bytes) -> object:
    """Read a digest, which is written as it was read."""
    text = data.decode("utf-8", "replace")
    digest = Digest.parse(text)
    assert str(digest) == text
    return digest


def read_media_type(data: bytes) -> object:
    """Read a header, and its text as a media type."""
    text = data.decode("utf-8", "replace")
    MediaType.from_header(text)
    return MediaType.parse(text)


def read_descriptor(data: bytes) -> object:
    """Read a descriptor."""
    return Descriptor.from_json(loads(data))


def read_manifest(data: bytes) -> object:
    """Read a manifest or an index, which then is nothing else, whoever says so."""
    content = Content.of(data)
    found = parse_manifest(content)
    assert parse_manifest(content, expected=found.media_type) == found
    other = OCI_MANIFEST if found.media_type.kind is Kind.INDEX else OCI_INDEX
    with contextlib.suppress(Malformed):
        raise AssertionError(parse_manifest(content, content_type=other))
    return found


def read_config(data: bytes) -> object:
    """Read the config of an image of two layers."""
    return parse_config(Content.of(data), layers=CONFIG_LAYERS)


IMAGES = tuple(
    Reference.parse(f"{name}@sha256:{'0' * 64}")
    for name in ("nginx", "docker.io/team/app", "quay.io/team/app", "a.example.com:5000/app")
)


def read_daemon_json(data: bytes) -> object:
    """Read Docker's `daemon.json`, and look for images by it."""
    configuration = parse_daemon(data, Path("daemon.json"))
    return [configuration.sources(each) for each in IMAGES]


def read_registries_conf(data: bytes) -> object:
    """Read a `registries.conf`, and look for images by it."""
    configuration = merge([parse_registries(data, Path("registries.conf"))])
    short = [configuration.readings(each) for each in ("nginx", "team/app:1")]
    return short, [configuration.sources(each) for each in IMAGES]


def read_hosts_toml(data: bytes) -> object:
    """Read containerd's `hosts.toml`, and look for images by it."""
    folder = HostFolder(CertificateFolder(Path("certs.d")), data)
    configuration = ContainerdConfiguration((), ({"_default": folder},))
    return [configuration.sources(each) for each in IMAGES]


def read_challenge(data: bytes) -> object:
    """Read a WWW-Authenticate header, and what is asked of whom; no secret goes elsewhere."""
    url = httpx.URL("https://reg.test/v2/")
    who = Credentials("alice", "pa55", "refresh")
    for challenge in parse_challenges(data.decode("utf-8", "replace")):
        if challenge.scheme == "bearer":
            wish = wish_for(REGISTRY, challenge, url, who, token_servers=frozenset())
            assert {each.url.raw_host for each in token_requests(wish, who)} == {b"reg.test"}
            return wish
    raise Malformed("it names no token server")


def read_token(data: bytes) -> object:
    """Read a token server's answer; its token fits into a header."""
    token = parse_token(data, REGISTRY)
    assert token.value.isascii()
    assert token.value.isprintable()
    return token.value


def read_rate_limit(data: bytes) -> object:
    """Read three headers, parted by bars; what is said of them is plain text."""
    names = ("ratelimit-remaining", "ratelimit-limit", "docker-ratelimit-source")
    values = data.decode("utf-8", "replace").split("|")
    limit = parse_rate_limit(dict(zip(names, values, strict=False)))
    if limit is None:
        raise Malformed("it says nothing")
    assert f"{limit}{limit.name}".isascii()
    assert f"{limit}{limit.name}".isprintable()
    return limit


def read_auth_file(data: bytes) -> object:
    """Read a file of credentials."""
    return parse_credentials(data, {}, AuthFile(Path("auth.json"), namespaces=True)).auths


def read_entry_body(data: bytes) -> object:
    """Read what a log entry is about, and hold it against a signature; nobody signed it."""
    key = json.loads((SEEDS / "entry-body" / "hashedrekord").read_bytes())["spec"]["signature"]
    envelope = Envelope(b"{}", "application/vnd.in-toto+json", b64decode(key["content"]))
    signature = Signature(
        value=envelope.signature,
        message=envelope.message,
        key=PublicKey.from_pem(b64decode(key["publicKey"]["content"])),
        scheme=Scheme.ECDSA_SHA256,
        envelope=envelope,
        documents=documents_of(envelope),
    )
    return check_body(data, None, signature), data


def read_trusted_root(data: bytes) -> object:
    """Read a trusted root, or several."""
    return parse_trusted_roots(data, "the root")


def read_layer(data: bytes) -> object:
    """Read the annotations of a cosign signature."""
    document = loads(data)
    texts = document.items() if isinstance(document, dict) else []
    return Layer.parse(b"", {k: v for k, v in texts if isinstance(v, str)}, most=0)


def read_checkpoint(data: bytes) -> object:
    """Read a log's checkpoint."""
    return Checkpoint.parse(data.decode("utf-8", "replace"))


TARGETS: dict[str, Target] = {
    "bundle": Bundle.parse,
    "envelope": Envelope.parse,
    "statement": Statement.parse,
    "claim": Claim.parse,
    "layer": read_layer,
    "entry-body": read_entry_body,
    "checkpoint": read_checkpoint,
    "certificate": Certificate.parse,
    "pem": decode_pem,
    "timestamp": timestamp._decode,
    "trusted-root": read_trusted_root,
    "reference": read_reference,
    "digest": read_digest,
    "media-type": read_media_type,
    "descriptor": read_descriptor,
    "manifest": read_manifest,
    "config": read_config,
    "daemon-json": read_daemon_json,
    "registries-conf": read_registries_conf,
    "hosts-toml": read_hosts_toml,
    "challenge": read_challenge,
    "token": read_token,
    "rate-limit": read_rate_limit,
    "auth-file": read_auth_file,
}
for more in (line_targets.TARGETS, copy_targets.TARGETS, gate_targets.TARGETS):
    TARGETS |= {name: each for name, each in more.items() if name not in TARGETS}


@dataclass(slots=True)
class Tally:
    """What became of the inputs of one target; `crashes` holds the first few."""

    accepted: int = 0
    refused: int = 0
    crashes: list[tuple[bytes, Exception]] = field(default_factory=list)


def seeds(name: str) -> list[bytes]:
    """Return the seeds of a target: the files of its folder, or the lines of its text file."""
    folder = SEEDS / name
    if folder.is_dir():
        return [file.read_bytes() for file in sorted(folder.iterdir())]
    return (SEEDS / f"{name}.txt").read_bytes().splitlines()


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change an input in one to three places."""
    for _ in range(rng.randint(1, 3)):
        change = _mutate_value if data[:1] in (b"{", b"[") and rng.random() < 0.8 else _mutate_bytes
        data = change(data, rng)
    return data


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, len(data))
    end = min(len(data), start + rng.choice((0, 0, 1, 1, 2, 8)))
    middle = rng.choice(
        (rng.choice(TOKENS), rng.randbytes(1), data[start:end] * rng.choice((2, 40)))
    )
    return data[:start] + middle + data[end:]


def _mutate_value(data: bytes, rng: random.Random) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _mutate_bytes(data, rng)
    holders = list(_holders(document))
    if holders:
        _change_one(rng.choice(holders), rng)
    return json.dumps(document).encode()


def _holders(value: object) -> Sequence[dict[str, Any] | list[Any]]:
    """Return every object and list that holds something."""
    if not isinstance(value, dict | list) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for item in inner for holder in _holders(item))]


def _change_one(holder: dict[str, Any] | list[Any], rng: random.Random) -> None:
    key: Any = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    match rng.randrange(4), holder:
        case 0, _:
            del holder[key]
        case 1, dict():
            holder[rng.choice((key.upper(), key + "\u017f", "manifests", "data"))] = holder[key]
        case 1, list():
            holder.extend(copy.deepcopy(holder) * rng.choice((1, 3)))
        case _:
            holder[key] = copy.deepcopy(rng.choice(VALUES))


def attempt(target: Target, data: bytes, tally: Tally) -> None:
    """Give one input to a target, and note what became of it."""
    try:
        target(data)
        tally.accepted += 1
    except REFUSED:
        tally.refused += 1
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        tally.crashes = [*tally.crashes, (data, error)][:10]


def fuzz(targets: dict[str, Target], turns: Iterable[object], seed: int = 0) -> dict[str, Tally]:
    """Mutate seeds, giving each target an input a turn; a seed repeats itself."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    corpora = {name: seeds(name) for name in targets}
    tallies = {name: Tally() for name in targets}
    for _ in turns:
        for name, target in targets.items():
            attempt(target, mutate(rng.choice(corpora[name]), rng), tallies[name])
    return tallies


def during(seconds: float) -> Iterator[None]:
    """Give turns until the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def report(tallies: dict[str, Tally]) -> int:
    """Say what was found; 1 if anything was."""
    for name, tally in tallies.items():
        sys.stdout.write(f"{name}: {tally.accepted} accepted, {tally.refused} refused\n")
        for data, error in tally.crashes:
            sys.stdout.write(f"  {type(error).__name__}: {error}\n  {data!r}\n")
    return int(any(tally.crashes for tally in tallies.values()))


def fuzz_with_atheris(targets: dict[str, Target], seconds: int) -> None:
    """Hand over to libFuzzer, which ends the process; the first byte chooses the target."""
    atheris = importlib.import_module("atheris")
    choices = list(targets.values())

    def one_input(data: bytes) -> None:
        try:
            choices[data[0] % len(choices)](data[1:]) if data else None
        except REFUSED:
            return

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}"], one_input)
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for the time asked for."""
    parser = argparse.ArgumentParser(description="fuzz the parsers")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="do without atheris")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    chosen = {name: TARGETS[name] for name in options.targets or TARGETS}
    if not options.plain and importlib.util.find_spec("atheris"):
        fuzz_with_atheris(chosen, options.seconds)
    return report(fuzz(chosen, during(options.seconds), options.seed))


if __name__ == "__main__":
    sys.exit(main())
