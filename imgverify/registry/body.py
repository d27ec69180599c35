"""Bodies of answers: read within a bound, as they were sent, and quoted only where that is safe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imgverify.errors import ContentError, ImgverifyError, LimitExceeded, Malformed
from imgverify.oci import limits
from imgverify.oci.strictjson import load_object
from imgverify.registry.failure import about
from imgverify.registry.urls import registry_of

if TYPE_CHECKING:
    import httpx

_ERROR_CODE: Final = re.compile(r"[A-Z_]{1,64}", re.ASCII)
_CODINGS: Final = re.compile(r"(?:(?:, *)?(?:x-)?(?:br|compress|deflate|gzip|zstd))+", re.ASCII)


def read_body(
    response: httpx.Response, most: int, longer: type[ContentError] = LimitExceeded
) -> bytes:
    """Read a whole body of at most `most` bytes; raises `longer` or `Unreachable`."""
    body = bytearray()
    host = registry_of(response.request.url)
    with about(host):
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > most:
                msg = f"{host} sent more than {most} bytes where less is all that can be right"
                raise longer(msg)
    return bytes(body)


def refuse_encoding(response: httpx.Response) -> None:
    """Raise `Malformed`, and close the response, if it is encoded, which nobody asked for."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", ""):
        response.close()
        how = f"as {encoding}" if _CODINGS.fullmatch(encoding) else "in some way"
        host = registry_of(response.request.url)
        msg = f"{host} sent content encoded {how}, which was not asked for"
        raise Malformed(msg, hint="a proxy in between compresses; it must not")


def error_code(response: httpx.Response) -> str:
    """Return the distribution error codes of a response, which a HEAD has none of.

    Only what the specification lets a code be: some servers repeat the request, secrets included.
    """
    if response.request.method == "HEAD":
        return ""
    try:
        errors = load_object(read_body(response, limits.ERROR_BODY_SIZE), "").get("errors")
        said = [str(each["code"]) for each in errors] if isinstance(errors, list) else []
    except (ImgverifyError, TypeError, KeyError):
        return ""
    return ", ".join(filter(_ERROR_CODE.fullmatch, said))[: limits.DISPLAY_LENGTH]
