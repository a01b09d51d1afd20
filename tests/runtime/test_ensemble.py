"""The mean probability of several models in NumPy."""

import numpy as np
import pytest

from seq2seq.runtime import ensemble
from seq2seq.runtime.ensemble import log_mean_probability, mean_attention
from tests.each import each


@each("block", [1, 14, 1000])
@each("models", [1, 2, 3])
@each("dtype", [np.float32, np.float64])
def test_is_the_logarithm_of_the_mean(monkeypatch, block, models, dtype):
    monkeypatch.setattr(ensemble, "BLOCK", block)
    shares = np.random.default_rng(1).dirichlet(np.ones(7), (models, 3, 2)).astype(dtype)
    shares[:, 0, 0, 1] = shares[0, 1, 0, 2] = 0
    with np.errstate(divide="ignore"):
        found, expected = log_mean_probability(np.log(shares)), np.log(shares.mean(0))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_tiny_probabilities_are_kept():
    assert log_mean_probability([np.array([[-200.0]]), np.array([[-np.inf]])]) == pytest.approx(-200 - np.log(2))


def test_mean_attention_is_that_of_the_models_that_have_any():
    weights = np.array([[[0.5, 0.5]]]), None, np.array([[[1.0, 0.0]]])
    np.testing.assert_array_equal(mean_attention(weights), [[[0.75, 0.25]]])
    assert mean_attention([None, None]) is None
