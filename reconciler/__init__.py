"""Plan and apply for composed videos."""

__version__ = "0.1.0"
