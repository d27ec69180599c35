"""What this host's runtimes would do, for programs: a part of the doctor's JSON report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.oci import limits
from imgverify.report.escape import escape

if TYPE_CHECKING:
    from imgverify.doctor.host.model import Bypass, HostReport, Lookup, RuntimeReport
    from imgverify.registry.hostconfig.model import Endpoint, Origin

_LONG: Final = 4096

Object = dict[str, object]


def host_object(report: HostReport) -> Object:
    """Return the object that stands under `host`."""
    return {
        "image": _name(report.name) if report.name else None,
        "decision": report.decision.value,
        "runtimes": [_runtime(each) for each in report.runtimes],
    }


def _runtime(runtime: RuntimeReport) -> Object:
    return {
        "runtime": runtime.runtime.value,
        "files": [escape(each, _LONG) for each in runtime.files],
        "registries": [_name(each) for each in runtime.registries],
        "failure": escape(runtime.failure, _LONG),
        "hint": escape(runtime.hint, _LONG),
        "lookups": [_lookup(each) for each in runtime.lookups],
    }


def _lookup(lookup: Lookup) -> Object:
    return {
        "image": _name(str(lookup.image)),
        "endpoints": [_endpoint(each) for each in lookup.endpoints],
        "notes": [escape(each) for each in lookup.notes],
        "bypasses": [_bypass(each) for each in lookup.bypasses],
    }


def _endpoint(endpoint: Endpoint) -> Object:
    return {
        "address": escape(endpoint.address, limits.URL_LENGTH),
        "image": _name(str(endpoint.image)),
        "namespace": endpoint.image.repository.route.namespace or None,
        "protection": endpoint.protection.value,
        "resolves": endpoint.resolves,
        "isUpstream": endpoint.is_upstream,
        "origin": _origin(endpoint.origin),
        "blocked": _origin(endpoint.blocked),
        "notes": [escape(each) for each in endpoint.notes],
    }


def _origin(origin: Origin | None) -> Object | None:
    if origin is None:
        return None
    return {"file": escape(str(origin.file), _LONG), "line": origin.line}


def _bypass(bypass: Bypass) -> Object:
    return {
        "gap": bypass.gap.value,
        "text": escape(bypass.text, _LONG),
        "closings": [
            {
                "how": escape(each.how, _LONG),
                "file": escape(each.file, _LONG) or None,
                # Lines, as a line break is a control character.
                "lines": [escape(line, _LONG) for line in each.text.splitlines()],
            }
            for each in bypass.closings
        ],
    }


def _name(text: str) -> str:
    # A name that is cut short would be another name.
    return escape(text, limits.REFERENCE_LENGTH)
