"""Which addresses may be dialled where others choose the names: public ones, and those permitted.

`ipaddress` alone will not do: to it NAT64's `64:ff9b::/96` is global, wherever it leads, and so
are multicast and the anycast addresses of 6to4 relays.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
#: Inside what is public otherwise: what leads to IPv4 addresses, and what leads nowhere.
_NOT_PUBLIC: Final[tuple[Network, ...]] = (
    ipaddress.IPv4Network("100.64.0.0/10"),  # shared by carriers (RFC 6598)
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    ipaddress.IPv4Network("224.0.0.0/3"),  # multicast, reserved, broadcast
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    ipaddress.IPv6Network("2001:db8::/32"),  # documentation
    ipaddress.IPv6Network("2002::/16"),  # 6to4: an IPv4 address is inside
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)


@dataclass(frozen=True, slots=True)
class DialGuard:
    """Lets only public addresses be dialled, and those of the `permitted` networks.

    It is held against the address that a name led to, and the socket goes to that same address,
    so that a name which leads elsewhere a moment later gains nothing.
    """

    permitted: tuple[Network, ...] = ()

    def allows(self, address: str) -> bool:
        """Tell whether an address, as the resolver writes it, may be dialled."""
        try:
            # Without the zone that a link-local address may have.
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(found in each for each in self.permitted) or _is_public(found)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 6 and address not in _PUBLIC_V6:  # noqa: PLR2004 - Internet Protocol 6
        return False
    return address.is_global and not any(address in each for each in _NOT_PUBLIC)
