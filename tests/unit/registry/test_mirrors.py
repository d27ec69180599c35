"""What a mirror calls upstream's images, forward and backward."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imgverify.errors import InputError, InvalidReference
from imgverify.oci.digest import Digest
from imgverify.oci.reference import DIRECT, Reference, Registry, Repository, Route
from imgverify.registry.mirrors import (
    MirrorRule,
    Namespace,
    at_api_path,
    backward,
    forward,
    in_prefix_form,
    locate,
    read_mirror,
    read_upstream,
)

DIGEST = Digest.of(b"")
NGINX = Reference.parse("nginx:1.27")
HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")


def written(references: tuple[Reference, ...]) -> tuple[str, ...]:
    return tuple(map(str, references))


@pytest.mark.parametrize(
    ("upstream", "mirror", "image", "expected"),
    [
        ("docker.io", "docker.m.example.cn", "nginx", "docker.m.example.cn/library/nginx:latest"),
        ("docker.io", "m.example/docker.io", "nginx:1", "m.example/docker.io/library/nginx:1"),
        ("docker.io/library", "m.example/official", "nginx:1", "m.example/official/nginx:1"),
        ("quay.io/team", "m.example/quay-team", "quay.io/team/app:1", "m.example/quay-team/app:1"),
        ("quay.io/team", "m.example", "quay.io/team/sub/app:1", "m.example/sub/app:1"),
        ("quay.io/team/app", "m.example/app2", "quay.io/team/app:1", "m.example/app2:1"),
        ("quay.io", "m.example:5000/a/b", f"quay.io/x@{DIGEST}", f"m.example:5000/a/b/x@{DIGEST}"),
        ("registry.local:5000", "m.example", "registry.local:5000/x:1", "m.example/x:1"),
        ("quay.io/a", "docker.io", "quay.io/a/team/app:1", "docker.io/team/app:1"),
    ],
)
def test_a_rule_maps_forward_and_back(
    upstream: str, mirror: str, image: str, expected: str
) -> None:
    rule, reference = MirrorRule.parse(upstream, mirror), Reference.parse(image)
    there = rule.to_mirror(reference)
    assert str(there) == expected
    assert there is not None
    assert rule.to_upstream(there) == reference


@pytest.mark.parametrize(
    "image", ["quay.io/teams/app:1", "quay.io/app:1", "quay.io:5000/team/app:1", "team/app:1"]
)
def test_a_path_prefix_matches_whole_components_of_its_own_registry(image: str) -> None:
    rule = MirrorRule.parse("quay.io/team", "m.example/quay-team")
    assert rule.to_mirror(Reference.parse(image)) is None


def test_what_lies_beside_the_mirrors_path_is_not_the_mirrors() -> None:
    rule = MirrorRule.parse("quay.io/team", "m.example/quay-team")
    assert rule.to_upstream(Reference.parse("m.example/quay-teams/app:1")) is None
    assert rule.to_upstream(Reference.parse("other.example/quay-team/app:1")) is None


def test_a_repository_that_is_the_whole_prefix_has_no_name_below_a_host() -> None:
    for mirror in ("m.example", "docker.io"):
        rule = MirrorRule.parse("quay.io/team", mirror)
        assert rule.to_mirror(Reference.parse("quay.io/team:1")) is None


def test_docker_hub_mirrors_nothing_without_a_path() -> None:
    rule = MirrorRule.parse("quay.io/team", "docker.io")
    assert rule.to_mirror(Reference.parse("quay.io/team/app:1")) is None
    back = rule.to_upstream(Reference.parse("docker.io/library/app:1"))
    assert str(back) == "quay.io/team/library/app:1"


@pytest.mark.parametrize("host", HUB_HOSTS)
def test_docker_hub_has_three_names(host: str) -> None:
    assert MirrorRule.parse(host, "m.example").upstream == Namespace(Registry("docker.io"))
    for image in HUB_HOSTS:
        reference = Reference.parse(f"{image}/nginx:1")
        there = MirrorRule.parse(host, f"m.example/{host}").to_mirror(reference)
        assert str(there) == f"m.example/{host}/library/nginx:1"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx:1", "m.example/hub/nginx:1"),
        ("team/app:1", "m.example/hub/team/app:1"),
        ("library/a/b:1", "m.example/hub/library/a/b:1"),
    ],
)
def test_library_is_left_out_where_it_is_the_only_path(image: str, expected: str) -> None:
    rule = MirrorRule.parse("docker.io", "m.example/hub", without_library=True)
    there = rule.to_mirror(Reference.parse(image))
    assert str(there) == expected
    assert there is not None
    assert rule.to_upstream(there) == Reference.parse(image)


def test_library_may_be_written_although_the_mirror_leaves_it_out() -> None:
    rule = MirrorRule.parse("docker.io", "m.example/hub", without_library=True)
    there = Reference.parse("m.example/hub/library/nginx:1")
    assert str(rule.to_upstream(there)) == "docker.io/library/nginx:1"


def test_library_cannot_be_left_out_of_another_registry() -> None:
    with pytest.raises(InputError, match="no official images"):
        MirrorRule.parse("quay.io", "m.example", without_library=True)


def test_a_route_goes_with_the_mirrors_name() -> None:
    rule = MirrorRule(
        Namespace(Registry("docker.io")),
        Namespace(Registry("m.example")),
        Route("/hub/v2", "docker.io"),
    )
    there = rule.to_mirror(NGINX)
    assert there is not None
    assert there.repository.route == Route("/hub/v2", "docker.io")
    assert rule.to_upstream(Reference.parse("m.example/library/nginx:1.27")) == NGINX


def test_nothing_is_its_own_mirror_but_by_another_route() -> None:
    with pytest.raises(InputError, match="its own mirror"):
        MirrorRule.parse("docker.io", "registry-1.docker.io")
    hub = Namespace(Registry("docker.io"))
    assert MirrorRule(hub, hub, Route("/other/v2")).to_mirror(NGINX) is not None


@pytest.mark.parametrize(
    "text", ["", "nginx", "library/nginx", "m.example/", "m.example//a", "m.example/A", "a b.c/d"]
)
def test_a_namespace_starts_with_a_host_and_goes_on_with_a_path(text: str) -> None:
    with pytest.raises(InvalidReference):
        Namespace.parse(text)


def test_a_namespace_is_not_a_url() -> None:
    with pytest.raises(InvalidReference, match="URL") as caught:
        Namespace.parse("https://user:secret@m.example/hub")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_namespace_is_written_as_it_was_read() -> None:
    for text in ("m.example", "m.example:5000", "[::1]:5000/a/b", "localhost/a"):
        assert str(Namespace.parse(text)) == text


def test_mirrors_come_in_the_order_of_the_rules_and_each_once() -> None:
    rules = [
        MirrorRule.parse("docker.io", "b.example"),
        MirrorRule.parse("quay.io", "c.example"),
        MirrorRule.parse("docker.io/library", "b.example/library"),
        MirrorRule.parse("docker.io", "a.example/docker.io"),
    ]
    assert written(forward(rules, NGINX)) == (
        "b.example/library/nginx:1.27",
        "a.example/docker.io/library/nginx:1.27",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m.example/docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("m.example/docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("m.example/registry-1.docker.io/team/app:1", "docker.io/team/app:1"),
        ("m.example:5000/registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        (f"m.example/quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        ("m.example/library/nginx:1", None),
        ("m.example/docker.io:1", None),
        ("m.example/v1.2/app:1", None),
        ("m.example/app_2.io/app:1", None),
        (f"m.example/{'a' * 64}.io/app:1", None),
        ("docker.io/library/nginx:1", None),
    ],
)
def test_the_prefix_form_says_what_upstream_is(name: str, expected: str | None) -> None:
    found = in_prefix_form(Reference.parse(name))
    assert (found and str(found)) == expected


def test_a_mirrors_name_is_found_by_its_rule_or_by_its_form() -> None:
    rules = [MirrorRule.parse("docker.io", "docker.m.example")]
    mirror = Reference.parse("docker.m.example/library/nginx:1.27")
    located = locate(rules, mirror)
    assert (located.upstream, located.mirrors) == (NGINX, (mirror,))
    prefixed = Reference.parse("m.example/docker.io/library/nginx:1.27")
    assert locate(rules, prefixed).upstream == NGINX
    assert locate(rules, NGINX).mirrors == (mirror,)
    nothing = Reference.parse("quay.io/a/b:1")
    assert locate(rules, nothing) == locate((), nothing)
    assert (locate((), nothing).upstream, locate((), nothing).mirrors) == (nothing, ())


def test_a_mirrors_name_with_two_upstreams_is_an_error_that_lists_them() -> None:
    rules = [MirrorRule.parse("docker.io", "m.example"), MirrorRule.parse("quay.io", "m.example")]
    with pytest.raises(InputError) as caught:
        locate(rules, Reference.parse("m.example/team/app:1"))
    assert "docker.io/team/app:1 or quay.io/team/app:1" in caught.value.message
    assert "--upstream" in caught.value.hint


def test_a_rule_and_the_form_that_disagree_are_an_error() -> None:
    rules = [MirrorRule.parse("docker.io", "m.example")]
    with pytest.raises(InputError, match=r"docker\.io/quay\.io/a/b:1 or quay\.io/a/b:1"):
        locate(rules, Reference.parse("m.example/quay.io/a/b:1"))


def test_a_name_that_is_upstreams_and_a_mirrors_is_an_error() -> None:
    rules = [
        MirrorRule.parse("docker.io", "m.example"),
        MirrorRule.parse("m.example", "n.example"),
    ]
    with pytest.raises(InputError, match=r"m\.example/team/app:1 or docker\.io/team/app:1"):
        locate(rules, Reference.parse("m.example/team/app:1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m.example", "m.example/library/nginx:1.27"),
        ("m.example:5000", "m.example:5000/library/nginx:1.27"),
        ("m.example/docker.io", "m.example/docker.io/library/nginx:1.27"),
        ("m.example/proxy/docker.io", "m.example/proxy/docker.io/library/nginx:1.27"),
        ("m.example/index.docker.io", "m.example/index.docker.io/library/nginx:1.27"),
        ("m.example/hub/", "m.example/hub/library/nginx:1.27"),
        ("m.example/docker.io/", "m.example/docker.io/library/nginx:1.27"),
        ("m.example/", "m.example/library/nginx:1.27"),
        ("m.example/hub/nginx", "m.example/hub/nginx:1.27"),
        ("m.example/hub:1", "m.example/hub:1"),
        ("m.example/docker.io:1", "m.example/docker.io:1"),
        (f"m.example/hub@{DIGEST}", f"m.example/hub@{DIGEST}"),
    ],
)
def test_a_mirror_is_a_host_a_prefix_or_a_reference(text: str, expected: str) -> None:
    assert str(read_mirror(text, NGINX)) == expected


@pytest.mark.parametrize("text", ["m.example/hub", "m.example/quay.io", "m.example/hub/library"])
def test_what_may_be_a_prefix_or_a_reference_is_not_guessed(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_mirror(text, NGINX)
    assert f"{text}:1.27" in caught.value.hint
    assert f"{text}/ (for {text}/library/nginx:1.27)" in caught.value.hint
    pinned = NGINX.pinned(DIGEST)
    with pytest.raises(InputError) as caught:
        read_mirror(text, pinned)
    assert f"{text}@{DIGEST}" in caught.value.hint


@pytest.mark.parametrize("text", ["https://m.example/", "m.example//", "hub/", "/", "m.ex/Hub/"])
def test_what_is_no_mirror_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        read_mirror(text, NGINX)


@pytest.mark.parametrize(
    ("text", "mirror", "expected"),
    [
        ("docker.io", "m.example/library/nginx:1", "docker.io/library/nginx:1"),
        ("docker.io", "m.example/docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("registry-1.docker.io", "m.example/docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("quay.io", "m.example/docker.io/nginx:1", "quay.io/docker.io/nginx:1"),
        ("quay.io/a/b", "m.example/docker.io/nginx:1", "quay.io/a/b:1"),
    ],
)
def test_an_upstream_is_a_host_or_a_reference(text: str, mirror: str, expected: str) -> None:
    assert str(read_upstream(text, Reference.parse(mirror))) == expected


@pytest.mark.parametrize(
    ("api_path", "path", "route"),
    [
        ("/v2", "library/nginx", DIRECT),
        ("/v2/hub", "hub/library/nginx", DIRECT),
        ("/v2/a/b", "a/b/library/nginx", DIRECT),
        ("/v2/Hub", "library/nginx", Route("/v2/Hub")),
        ("/hub/v2", "library/nginx", Route("/hub/v2")),
        ("", "library/nginx", Route("")),
    ],
)
def test_an_api_path_is_a_prefix_or_a_route(api_path: str, path: str, route: Route) -> None:
    host = Registry("m.example")
    assert at_api_path(host, api_path, "library/nginx") == Repository(host, path, route)


def test_a_host_that_stands_in_is_told_for_whom() -> None:
    host, hub = Registry("m.example"), Registry("docker.io")
    for api_path in ("/v2", "/v2/hub", "/hub/v2"):
        found = at_api_path(host, api_path, "library/nginx", hub)
        assert found.route.namespace == "docker.io"


def test_an_api_path_that_no_url_keeps_is_refused() -> None:
    with pytest.raises(InvalidReference):
        at_api_path(Registry("m.example"), "/a b/v2", "library/nginx")


HOSTS = st.sampled_from(["docker.io", "quay.io", "m.example", "n.example:5000", "localhost"])
PARTS = st.from_regex(r"[a-z0-9]{1,4}(?:[.-][a-z0-9]{1,3})?", fullmatch=True)
PATHS = st.lists(PARTS | st.sampled_from(["library", "docker.io"]), min_size=1, max_size=4)
SPACES = st.builds(lambda host, path: "/".join([host, *path]), HOSTS, st.just([]) | PATHS)


@st.composite
def rules(draw: st.DrawFn) -> MirrorRule:
    upstream, mirror = draw(SPACES), draw(SPACES)
    leaves_out = draw(st.booleans()) and upstream.startswith("docker.io")
    assume(Namespace.parse(upstream) != Namespace.parse(mirror))
    return MirrorRule.parse(upstream, mirror, without_library=leaves_out)


@given(st.lists(rules(), max_size=4), HOSTS, PATHS)
def test_backward_of_forward_contains_where_it_came_from(
    known: list[MirrorRule], host: str, path: list[str]
) -> None:
    upstream = Reference.parse("/".join([host, *path]) + ":1")
    for mirror in forward(known, upstream):
        assert upstream in backward(known, mirror)


@given(SPACES, SPACES, PATHS)
def test_what_was_below_a_path_stays_below_it(upstream: str, mirror: str, path: list[str]) -> None:
    assume(mirror not in (upstream, "docker.io"))
    rule = MirrorRule.parse(upstream, mirror)
    reference = Reference.parse("/".join([upstream, *path]) + ":1")
    there = rule.to_mirror(reference)
    assert there is not None
    assert there.repository.path.endswith(path[-1])
    assert (there.tag, there.digest) == (reference.tag, reference.digest)
