"""What is asked by the words on a command line: which upstreams, which mirrors, how often."""

import pytest

from tests.support.image import put
from tests.unit.cli.conftest import FORGED, NEW, PATH, TAG, Pair, Run


def test_one_image_on_two_mirrors_is_asked_of_both(run: Run, pair: Pair) -> None:
    """Both are the same image upstream; neither answer may stand for the other."""
    twin = f"localhost:{pair.mirror.host.rpartition(':')[2]}"
    put(pair.mirror.shelf, PATH, FORGED, TAG)
    names = [f"{host}/{PATH}:{TAG}" for host in (twin, pair.mirror.host)]
    words = ("--upstream", pair.upstream.host, *pair.options[2:], "--insecure-http", twin)
    done = run("verify", *names, *words, "--format", "json")
    assert done.status == 1
    assert [each["requested"] for each in done.report["images"]] == names


def test_one_image_named_twice_is_asked_once(run: Run, pair: Pair) -> None:
    digest = f"{pair.name()}@{NEW.digest}"
    done = run("verify", pair.name(), pair.name(), digest, *pair.options, "--format", "json")
    assert done.status == 0
    assert [each["requested"] for each in done.report["images"]] == [pair.name(), digest]


@pytest.mark.parametrize("option", ["--mirror", "--upstream"])
def test_a_whole_reference_goes_with_one_image(run: Run, option: str) -> None:
    done = run("verify", "a.example/one", "a.example/two", option, "b.example/one")
    assert done.status == 2
    assert "goes with one IMAGE only" in done.err


def test_two_tags_of_one_repository_are_not_compared(run: Run) -> None:
    done = run("compare", "nginx:1.27", "docker.io/library/nginx:1.28")
    assert done.status == 2
    assert "A and B are both in docker.io/library/nginx" in done.err


@pytest.mark.parametrize("option", ["-q", "--debug", "--color", "-v", "--config"])
def test_an_option_of_the_program_is_told_its_place(run: Run, option: str) -> None:
    done = run("verify", option, "nginx", "--mirror", "m.example")
    assert done.status == 2
    assert f"{option} goes before the command: imgverify {option} verify" in done.err
    assert "goes before" not in run("verify", "--nonsense", "nginx").err


def test_a_report_without_a_name_is_refused_at_once(run: Run) -> None:
    done = run("verify", "nginx", "--mirror", "m.example", "-o", "")
    assert done.status == 2
    assert "an empty text is not a file" in done.err


@pytest.mark.parametrize("text", ["x/y", "http://x.example", "a b", "x.example:0", ""])
def test_a_host_that_is_none_is_told_how_hosts_are_written(run: Run, text: str) -> None:
    done = run("verify", "nginx", "--mirror", "m.example", "--insecure-http", text)
    assert done.status == 2
    assert "host or host:port" in done.err or "leave the scheme out" in done.err
    assert "name:tag" not in done.err
