"""An issuer of logins as Fulcio asks one (OpenID Connect), which lets everybody in."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from imgverify.serve.loopback import LoopbackRegistry, Request, Response, Shelf

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_KEY_ID = "one"
_LIFETIME = 3600


class Issuer:
    """Answers on loopback while its `with` block runs; plain HTTP, which Fulcio takes."""

    def __init__(self, audience: str) -> None:
        self.audience = audience
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = LoopbackRegistry(Shelf(), [self._answer])

    @property
    def url(self) -> str:
        return self._server.url

    def token(self, email: str) -> str:
        """Log in: a signed token that names this address."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": email,
            "aud": self.audience,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + _LIFETIME,
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        signed = b".".join(_encoded(json.dumps(each).encode()) for each in (header, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join((signed, _encoded(signature))).decode()

    def _answer(self, request: Request) -> Response | None:
        documents = {
            "/.well-known/openid-configuration": self._configuration,
            "/keys": self._keys,
        }
        document = documents.get(request.path)
        if document is None:
            return None
        body = json.dumps(document()).encode()
        return Response(200, (("Content-Type", "application/json"),), body)

    def _configuration(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _keys(self) -> dict[str, object]:
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": _KEY_ID,
            "n": _encoded(numbers.n.to_bytes(256, "big")).decode(),
            "e": _encoded(numbers.e.to_bytes(3, "big")).decode(),
        }
        return {"keys": [key]}

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)


def _encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
