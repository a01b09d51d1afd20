"""Embedded corpora, generated without a download: English-German sentences, and news reports with summaries."""
