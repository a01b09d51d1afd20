"""Checks of a machine and of a training that is planned on it, each with one finding and what to do about it."""
