"""Whom a certificate has to name. Patterns match the whole text; standard library only."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, Self

from imgverify.errors import InputError
from imgverify.oci import limits

# Escapes, classes, atomic groups (which try one way only), what opens and closes, and what repeats.
_PIECES: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?>(?:\\.|[^()\\])*\)|[()*+|]|\{[0-9,]+\}|.", re.DOTALL
)

# How often a group may be repeated whatever it is, as the most that braces say.
_FEW: Final = frozenset("123")


class NameKind(enum.StrEnum):
    """The kinds of subject alternative names that identify a signer."""

    EMAIL = "email"
    URI = "uri"
    DNS = "dns"
    USERNAME = "username"


@dataclass(frozen=True, slots=True, order=True)
class SubjectName:
    """A name with its kind: an e-mail address that stands in a URI is another name."""

    kind: NameKind
    value: str

    @classmethod
    def expected(cls, text: str) -> Self:
        """Take a name as users write it; its form tells the kind."""
        if ":" in text:
            return cls(NameKind.URI, text)
        if "@" in text:
            return cls(NameKind.EMAIL, text)
        return cls(NameKind.USERNAME if "!" in text else NameKind.DNS, text)

    def __str__(self) -> str:
        """Return the name without its kind."""
        return self.value


class Extension(enum.Enum):
    """What Fulcio copies from a login's token, by the last number of its OID.

    The first five are GitHub's alone and older; the others mean the same with every CI.
    """

    WORKFLOW_TRIGGER = 2
    WORKFLOW_SHA = 3
    WORKFLOW_NAME = 4
    WORKFLOW_REPOSITORY = 5
    WORKFLOW_REF = 6
    BUILD_SIGNER_URI = 9
    BUILD_SIGNER_DIGEST = 10
    RUNNER_ENVIRONMENT = 11
    SOURCE_REPOSITORY_URI = 12
    SOURCE_REPOSITORY_DIGEST = 13
    SOURCE_REPOSITORY_REF = 14
    SOURCE_REPOSITORY_IDENTIFIER = 15
    SOURCE_REPOSITORY_OWNER_URI = 16
    SOURCE_REPOSITORY_OWNER_IDENTIFIER = 17
    BUILD_CONFIG_URI = 18
    BUILD_CONFIG_DIGEST = 19
    BUILD_TRIGGER = 20
    RUN_INVOCATION_URI = 21
    SOURCE_REPOSITORY_VISIBILITY = 22

    @property
    def oid(self) -> str:
        """The object identifier, in dots."""
        return f"1.3.6.1.4.1.57264.1.{self.value}"

    @property
    def label(self) -> str:
        """The name in words, such as `source-repository-uri`, or `github-workflow-ref`."""
        words = self.name.lower().replace("_", "-")
        return f"github-{words}" if self.value <= Extension.WORKFLOW_REF.value else words


@dataclass(frozen=True, slots=True)
class Exactly:
    """This text and no other."""

    text: str

    def __post_init__(self) -> None:
        """Refuse to ask for nothing."""
        if not self.text:
            msg = "an empty text would match what is not there"
            raise InputError(msg)

    def accepts(self, text: str) -> bool:
        """Tell whether the text is the one."""
        return text == self.text

    def __str__(self) -> str:
        """Return the text, quoted."""
        return repr(self.text)


@dataclass(frozen=True, slots=True)
class Matching:
    """Any text that the pattern matches from its first character to its last."""

    pattern: str

    def __post_init__(self) -> None:
        """Refuse what is no pattern, and one that matches nothing at all or could try for ever."""
        if len(self.pattern) > limits.MATCHED_LENGTH:
            msg = (
                f"a pattern of {len(self.pattern)} characters; {limits.MATCHED_LENGTH} are the most"
            )
            raise InputError(msg)
        try:
            matches_nothing = re.fullmatch(self.pattern, "") is not None
        except (re.error, RecursionError, OverflowError):
            msg = f"{self.pattern!r} is not a regular expression"
            raise InputError(msg) from None
        if matches_nothing:
            msg = f"{self.pattern!r} would match a name that is empty"
            raise InputError(msg, hint="write .+ for any name")
        if _repeats_what_varies(self.pattern):
            msg = f"{self.pattern!r} repeats what itself repeats or has a choice"
            hint = (
                "names are strangers' and could keep it busy for ever: repeat a class, as in [^/]+"
            )
            raise InputError(msg, hint=hint)

    def accepts(self, text: str) -> bool:
        """Tell whether the pattern matches the whole text, which nothing very long does."""
        fits = len(text) <= limits.MATCHED_LENGTH
        return fits and re.fullmatch(self.pattern, text) is not None

    def __str__(self) -> str:
        """Return the pattern between slashes."""
        return f"/{self.pattern}/"


def _repeats_what_varies(pattern: str) -> bool:
    """Tell of patterns that may try a text in exponentially many ways, and of some that do not.

    A group counts as varying if something in it repeats, or if it has alternatives.
    """
    open_groups, previous = [False], False
    for piece in _PIECES.findall(pattern):
        varies = False
        if piece == "(":
            open_groups.append(False)
        elif piece == ")":
            # A comment may close what nothing opened.
            varies = open_groups.pop() if len(open_groups) > 1 else True
            open_groups[-1] = open_groups[-1] or varies
        elif piece == "|":
            open_groups[-1] = True
        elif piece in {"*", "+"} or (
            piece[0] == "{" and piece[1:-1].rpartition(",")[2] not in _FEW
        ):
            if previous:
                return True
            open_groups[-1] = True
        previous = varies
    return False


Rule = Exactly | Matching
_NO_ISSUER: Final = "say who has to have vouched for the login: without it anybody could have"


@dataclass(frozen=True, slots=True)
class Identity:
    """A signer with a certificate of Fulcio's kind: the name and who vouched for the login.

    Neither means anything without the other. `claims` are further texts that the certificate has
    to hold, such as the repository that a workflow ran for.
    """

    name: Rule
    issuer: Rule
    claims: tuple[tuple[Extension, Rule], ...] = ()

    @classmethod
    def exactly(cls, name: str, issuer: str) -> Self:
        """Take name and issuer as they are."""
        if not name or not issuer:
            msg = "an identity is a name together with its issuer"
            raise InputError(msg, hint=_NO_ISSUER)
        return cls(Exactly(name), Exactly(issuer))

    def chosen(self, names: tuple[SubjectName, ...]) -> SubjectName | None:
        """Return the name of a certificate that is the one wanted."""
        return _chosen(self.name, names)


@dataclass(frozen=True, slots=True)
class Subject:
    """A signer with a certificate of one's own CA, which names no issuer of a login."""

    name: Rule

    def chosen(self, names: tuple[SubjectName, ...]) -> SubjectName | None:
        """Return the name of a certificate that is the one wanted."""
        return _chosen(self.name, names)


def _chosen(rule: Rule, names: tuple[SubjectName, ...]) -> SubjectName | None:
    if isinstance(rule, Exactly):
        wanted = SubjectName.expected(rule.text)
        return wanted if wanted in names else None
    return next((each for each in names if rule.accepts(each.value)), None)
