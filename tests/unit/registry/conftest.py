from pathlib import Path

import pytest

from tests.support.certificate import self_signed


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody vouches for, and its key."""
    return self_signed(tmp_path_factory.mktemp("certificate"))
