"""Asking a credential helper (docker-credential-helpers protocol): a program that may do anything.

It may hang, say too much, or leave a child behind that keeps its output open.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
from typing import IO, TYPE_CHECKING, Final, cast

from imgverify.errors import ContentError, Unauthorized, Unreachable
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object
from imgverify.registry.dial import HEARING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgverify.oci.reference import Registry
    from imgverify.registry.deadline import Deadline

_HUB_SERVER: Final = "https://index.docker.io/v1/"
_NOT_FOUND: Final = b"credentials not found in native keychain"


def ask_helper(
    name: str, registry: Registry, environment: Mapping[str, str], deadline: Deadline
) -> tuple[str, str] | None:
    """Run `docker-credential-NAME get`; gives a user name and a secret, None where it has none.

    Raises `Unauthorized` where it fails, without quoting anything that it said.
    """
    program = f"docker-credential-{name}"
    server = _HUB_SERVER if registry.is_docker_hub else str(registry)
    hint = f"run it by hand: echo {server} | {program} get"
    try:
        status, said = _run(_find(program, environment), server.encode(), environment, deadline)
    except (OSError, Unreachable) as error:
        cause = "cannot run" if isinstance(error, OSError) else "did not answer"
        msg = f"the credential helper {program} {cause}"
        raise Unauthorized(msg, hint=hint) from None
    if status:
        if _NOT_FOUND in said:
            return None
        msg = f"the credential helper {program} failed for {registry}"
        raise Unauthorized(msg, hint=hint)
    answer = _parse(said)
    if answer is None:
        msg = f"the credential helper {program} gave an answer that cannot be read"
        raise Unauthorized(msg, hint=hint)
    return answer


def _find(program: str, environment: Mapping[str, str]) -> str:
    # Nothing is run from the working directory, which an empty or relative entry would mean.
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(filter(os.path.isabs, folders))
    found = shutil.which(program, path=path)
    if found is None:
        raise FileNotFoundError(program)
    return found


def _run(
    program: str, question: bytes, environment: Mapping[str, str], deadline: Deadline
) -> tuple[int, bytes]:
    """Run a helper to its end, and give its status and what it said.

    Raises `Unreachable` when its time is over.  One that says too much has said nothing.
    """
    until = deadline.within(limits.HELPER_TIMEOUT)
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - a fixed argument list, the name follows a grammar
        [program, "get"],
        bufsize=0,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        env=dict(environment),
    ) as process:
        try:
            _tell(process, question)
            said = _hear(process, until)
            if len(said) > limits.HELPER_OUTPUT_SIZE:
                process.kill()
                return 0, b""
            return _end(process, until), said
        except BaseException:
            process.kill()
            raise


def _tell(process: subprocess.Popen[bytes], question: bytes) -> None:
    """Pass the question on; it fits into any pipe, so this does not wait for who reads it."""
    # What a helper says that did not listen is judged like any answer.
    with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as stdin:
        stdin.write(question)


def _hear(process: subprocess.Popen[bytes], until: Deadline) -> bytes:
    """Read what a helper says until it ends, or closes its output, or has said too much.

    A child that it leaves behind may keep the output open for ever.
    """
    said = bytearray()
    stdout = cast("IO[bytes]", process.stdout).fileno()
    poll = select.poll()
    poll.register(stdout, select.POLLIN)
    while len(said) <= limits.HELPER_OUTPUT_SIZE:
        # Asked first: what it said before it ended is then in the pipe already.
        ended = process.poll() is not None
        if poll.poll(0 if ended else until.patience(HEARING) * 1000):
            piece = os.read(stdout, limits.HELPER_OUTPUT_SIZE)
            said += piece
            ended = not piece
        if ended:
            break
    return bytes(said)


def _end(process: subprocess.Popen[bytes], until: Deadline) -> int:
    while True:
        try:
            return process.wait(until.patience(HEARING))
        except subprocess.TimeoutExpired:
            continue


def _parse(output: bytes) -> tuple[str, str] | None:
    try:
        answer = load_object(output, "")
    except ContentError:
        # Not raised on: the error's chain would hold the answer.
        return None
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        return None
    return username, secret
