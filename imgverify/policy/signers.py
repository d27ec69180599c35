"""Reading who has to have signed an image, and what has to be attested of it (docs/policy.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from imgverify.errors import InputError
from imgverify.oci.reference import Reference
from imgverify.policy.conditions import read_conditions
from imgverify.policy.document import Map, Text
from imgverify.policy.fields import fields_of, items_of, read_if
from imgverify.policy.named import COSIGN, KEY, ROOT
from imgverify.policy.requirement import Requirement
from imgverify.signature.demand import Demand, NameRule
from imgverify.signature.identity import Exactly, Extension, Identity, Matching
from imgverify.signature.predicate import predicate_type
from imgverify.verdict import Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgverify.policy.document import Node
    from imgverify.policy.fields import Problems
    from imgverify.policy.named import Files
    from imgverify.signature.demand import Signer
    from imgverify.signature.identity import Rule
    from imgverify.signature.predicate import Condition

T = TypeVar("T")
Given = dict[str, "Node"]

_CLAIMS: Final = {each.label: each for each in Extension}
_NAMES: Final = ("identity", "issuer", *_CLAIMS)
_REGEXP: Final = "-regexp"
_IDENTITY_FIELDS: Final = tuple(f"{name}{end}" for name in _NAMES for end in ("", _REGEXP))
_TLOG, _SCT = "insecure-ignore-tlog", "insecure-ignore-sct"
#: Whose attestation counts, and by whose word.
ATTESTER_FIELDS: Final = (KEY, *_IDENTITY_FIELDS, ROOT, _TLOG, _SCT)
#: The same of signatures, of which some name the image.
COSIGN_FIELDS: Final = (*ATTESTER_FIELDS, "signed-as")
ATTESTATION_FIELDS: Final = ("predicate-type", COSIGN, "where")
LISTS: Final = ("all-of", "any-of")
SIGNATURE_FIELDS: Final = (*LISTS, "at-least")
LATER: Final = ("notation", "simple-signing")
_ENTRY: Final = (COSIGN, *LISTS, "at-least", *LATER)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the parts of a rule that are about signatures; mistakes are noted."""

    files: Files
    problems: Problems

    def signatures(self, node: Node) -> tuple[Requirement, ...]:
        """Read `signatures`: a list of whom all, or some, have to have signed."""
        given = fields_of(node, SIGNATURE_FIELDS, self.problems)
        found = self._list(node, given)
        return () if found is None else (found,)

    def attestations(self, node: Node) -> tuple[Requirement, ...]:
        """Read `attestations`, of which every one is required."""
        found: list[Requirement] = []
        for item in items_of(node, self.problems):
            one = self._attestation(item)
            if one in found:
                self.problems.note(item, "the same attestation is required already")
            found += [one] if one else []
        return tuple(found)

    def _list(self, node: Node, given: Given) -> Requirement | None:
        names = [each for each in LISTS if each in given]
        if len(names) != 1:
            if isinstance(node, Map):
                self.problems.note(node, "one of all-of and any-of is wanted here")
            return None
        items = items_of(given[names[0]], self.problems)
        entries = self._entries(items)
        demands = tuple(each for each in entries if isinstance(each, Demand))
        nested = tuple(each for each in entries if isinstance(each, Requirement))
        least = self._least(given, len(items), all_of=names == ["all-of"])
        if nested and 1 < least < len(items):
            msg = "at-least counts signers, so its list cannot hold other lists"
            self.problems.note(given["at-least"], msg)
            return None
        complete = entries and len(entries) == len(items)
        return Requirement(demands, least, nested) if complete else None

    def _entries(self, items: tuple[Node, ...]) -> list[Demand | Requirement]:
        found: list[Demand | Requirement] = []
        for item in items:
            one = self._entry(item)
            if one in found:
                self.problems.note(item, "the same is in the list already")
            elif one is not None:
                found.append(one)
        return found

    def _least(self, given: Given, most: int, *, all_of: bool) -> int:
        node = given.get("at-least")
        if node is None or all_of:
            if node is not None:
                self.problems.note(node, "all of a list are all: at-least stands beside any-of")
            return most if all_of else 1
        text = node.value if isinstance(node, Text) and not node.quoted else ""
        wanted = (
            int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
        )
        if not 1 <= wanted <= most:
            self.problems.note(node, f"a whole number from 1 to {most} is wanted here")
            return 1
        return wanted

    def _entry(self, node: Node) -> Demand | Requirement | None:
        given = fields_of(node, _ENTRY, self.problems)
        for name in LATER:
            if name in given:
                self.problems.note(given[name], f"{name} is not supported by this version")
                return None
        if COSIGN not in given:
            return self._list(node, given)
        if len(given) > 1:
            self.problems.note(node, "an entry of the list is one signer, or one other list")
        return self._demand(given[COSIGN], COSIGN_FIELDS)

    def _attestation(self, node: Node) -> Requirement | None:
        required = ("predicate-type", COSIGN)
        given = fields_of(node, ATTESTATION_FIELDS, self.problems, required=required)
        kind = read_if(given.get("predicate-type"), predicate_type, self.problems)
        where = read_conditions(given["where"], self.problems) if "where" in given else ()
        if COSIGN not in given:
            return None
        demand = self._demand(given[COSIGN], ATTESTER_FIELDS, kind, where)
        return Requirement((demand,)) if demand and kind else None

    def _demand(
        self,
        node: Node,
        known: tuple[str, ...],
        kind: str | None = None,
        where: tuple[Condition, ...] = (),
    ) -> Demand | None:
        given = fields_of(node, known, self.problems)
        signer = self._signer(node, given)
        named = self._file(given, ROOT, self.files.roots)
        roots = named if ROOT in given else self.files.shipped
        name = read_if(given.get("signed-as"), Reference.parse, self.problems)
        skipped = [each for each in (_TLOG, _SCT) if self._is_set(given, each)]
        if len(skipped) > 1:
            msg = (
                "one check can be left out; name a trusted-root that has no logs, if there are none"
            )
            self.problems.note(given[_SCT], msg)
        if signer is None or roots is None:
            return None
        skip = {_TLOG: Skipped.LOG, _SCT: Skipped.SCT}[skipped[0]] if skipped else None
        try:
            return Demand(
                signer,
                roots,
                predicate_type=kind,
                name=NameRule(name) if name else None,
                insecure_skip=skip,
                where=where if kind else (),
            )
        except InputError as error:
            self.problems.note(node, f"{error.message}; {error.hint}")
            return None

    def _signer(self, node: Node, given: Given) -> Signer | None:
        about_logins = [each for each in (*_IDENTITY_FIELDS, _SCT) if each in given]
        if KEY in given:
            for each in about_logins:
                msg = f"a signature by a key has no certificate, so {each} would be ignored"
                self.problems.note(given[each], msg)
            return self._file(given, KEY, self.files.keys)
        name, issuer = self._rule(given, "identity"), self._rule(given, "issuer")
        claims = [(each, self._rule(given, label)) for label, each in _CLAIMS.items()]
        missing = [each for each in _NAMES[:2] if not given.keys() & {each, f"{each}{_REGEXP}"}]
        if missing and isinstance(node, Map):
            msg = (
                f"{' and '.join(missing)} missing: a signer is a key, or an identity with an issuer"
            )
            self.problems.note(node, msg)
        if name is None or issuer is None:
            return None
        return Identity(name, issuer, tuple((each, rule) for each, rule in claims if rule))

    def _rule(self, given: Given, name: str) -> Rule | None:
        exact, pattern = given.get(name), given.get(f"{name}{_REGEXP}")
        if exact is not None and pattern is not None:
            self.problems.note(pattern, f"{name} and {name}{_REGEXP} are named for the same thing")
        if pattern is not None:
            return read_if(pattern, Matching, self.problems)
        return read_if(exact, Exactly, self.problems)

    def _file(self, given: Given, name: str, held: Mapping[str, T | InputError]) -> T | None:
        def parse(text: str) -> T:
            found = held.get(text)
            if found is None or isinstance(found, InputError):
                raise found or InputError(f"{text} was not read")
            return found

        return read_if(given.get(name), parse, self.problems)

    def _is_set(self, given: Given, name: str) -> bool:
        node = given.get(name)
        if node is None:
            return False
        if not isinstance(node, Text) or node.quoted or node.value != "true":
            self.problems.note(node, "true is wanted here; leave the key out if it is not meant")
        return True
