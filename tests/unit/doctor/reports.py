"""Reports of every kind, made without a network."""

from datetime import timedelta

from imgverify.doctor.check import ANSWERS, ANYWHERE, Check, Mark, Topic
from imgverify.doctor.images import ImageReport
from imgverify.doctor.judgement import MirrorReport, Use
from imgverify.doctor.observation import Scheme
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.reference import Reference, Registry, Repository
from imgverify.registry.ratelimit import RateLimit
from imgverify.verdict import Grade

NGINX = Reference.parse("docker.io/library/nginx:1.27")
HERE, THERE = Digest(Algorithm.SHA256, "a" * 64), Digest(Algorithm.SHA256, "b" * 64)


def image(grade: Grade, mark: Mark, age: timedelta | None = None) -> ImageReport:
    at = Reference(Repository(Registry.parse("mirror.example"), NGINX.repository.path), "1.27")
    same = grade is Grade.IDENTICAL
    digest = HERE if same else None if grade is Grade.MISSING else THERE
    return ImageReport(NGINX, at, grade, "in words", mark, HERE, digest, age, same)


def report(
    use: Use, checks: tuple[Check, ...] = (), images: tuple[ImageReport, ...] = ()
) -> MirrorReport:
    return MirrorReport(
        "mirror.example",
        use,
        f"{use.value}: in words",
        checks,
        images,
        13,
        Scheme.HTTPS,
        {"manifests": (), "blobs": ("cdn.example",)},
        RateLimit(98, 100, 21600),
    )


EVERY_CHECK = tuple(
    Check(topic, answer, mark, "in words", "what to do")
    for topic, answers in ANSWERS.items()
    for number, answer in enumerate((*answers, *ANYWHERE))
    for mark in [list(Mark)[number % len(Mark)]]
)
EVERY_IMAGE = tuple(
    image(grade, Mark.NOTE, timedelta(days=3, hours=4) if grade is Grade.STALE else None)
    for grade in Grade
)
REPORTS = {each: report(each, EVERY_CHECK, EVERY_IMAGE) for each in Use}
GOOD = report(
    Use.TAGS_AND_DIGESTS,
    (
        Check(Topic.API, "v2", Mark.GOOD, "registry/2.0, over https"),
        Check(Topic.LOGIN, "bearer", Mark.GOOD, "Bearer: tokens from auth.mirror.example"),
        Check(Topic.REFERRERS, "absent", Mark.NOTE, "the mirror does not have the API (404)", "do"),
        Check(Topic.RANGE, "unasked", Mark.UNASKED, "the image was not given"),
        Check(Topic.ACCEPT, "unasked", Mark.UNASKED, "the image was not given"),
    ),
    (image(Grade.IDENTICAL, Mark.GOOD),),
)
