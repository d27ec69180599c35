"""A throw-away deployment for each test."""

import pytest

from tests.support.signer import Deployment


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()
