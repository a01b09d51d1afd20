"""Exports trained translators: bundles for the runtime without torch, and the formats of other tools."""
