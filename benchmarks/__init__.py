"""Measurements beside peers; figures are ratios of one run."""
