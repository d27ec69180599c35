"""Writing DER by hand, for what no library writes: timestamps, and broken ones."""

from datetime import datetime

from cryptography.x509 import ObjectIdentifier

SEQUENCE, SET, CONTEXT = 0x30, 0x31, 0xA0


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 + len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    return element(SEQUENCE, *parts)


def set_of(*parts: bytes, tag: int = SET, ordered: bool = True) -> bytes:
    return element(tag, *(sorted(parts) if ordered else parts))


def integer(value: int) -> bytes:
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(data: bytes) -> bytes:
    return element(0x04, data)


def utf8(text: str) -> bytes:
    return element(0x0C, text.encode())


def time(moment: datetime) -> bytes:
    return element(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, ObjectIdentifier(dotted).dotted_string.split("."))
    content = b""
    for number in (first * 40 + second, *rest):
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | number & 0x7F)
        content += bytes(digits)
    return element(0x06, content)
