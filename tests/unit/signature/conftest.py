"""A throw-away deployment for each test; making one takes milliseconds."""

import pytest

from tests.support.signer import Deployment


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()
