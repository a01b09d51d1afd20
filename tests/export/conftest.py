"""The models of tests/nn."""

from tests.nn.conftest import case, model_cases, pytest_generate_tests, variant

__all__ = ["case", "model_cases", "pytest_generate_tests", "variant"]
