"""Measurements, each beside what one would do instead or a physical limit, in one run. Quote the ratios."""
