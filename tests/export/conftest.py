"""The models of tests/nn."""

from tests.nn.conftest import case, pytest_generate_tests, variant

__all__ = ["case", "pytest_generate_tests", "variant"]
