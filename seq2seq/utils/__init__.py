"""Helpers without a subject of their own: files, logging, progress, the process, untrusted values."""
