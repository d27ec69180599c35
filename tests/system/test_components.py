import subprocess

import pytest

import make
from tests.support import components

SAYS_WHO_IT_IS = {
    "docker-registry": ("--version", "distribution"),
    "skopeo": ("--version", "skopeo version"),
    "nginx": ("-v", "nginx version"),
    "tinyproxy": ("-v", "tinyproxy"),
    "containerd": ("--version", "containerd "),
    "docker.io": ("--version", "Docker version"),
    "distribution": ("--version", "distribution"),
    "mariadb": ("--version", "MariaDB"),
    # These two say no version.
    "trillian-log-server": ("-help", "trillian_log_server"),
    "trillian-log-signer": ("-help", "trillian_log_signer"),
    **{
        name: ("version", f"v{make.peer_table()[name]['version']}")
        for name in (
            *("olareg", "cosign", "cosign-2", "fulcio"),
            *("timestamp-server", "rekor-tiles", "rekor"),
        )
    },
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.system(name)) for name in components.names()]
)
def test_every_component_starts_and_is_what_the_table_says(name: str) -> None:
    argument, expected = SAYS_WHO_IT_IS[name]
    command = [str(components.locate(name)), argument]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert expected in answer.stdout + answer.stderr
