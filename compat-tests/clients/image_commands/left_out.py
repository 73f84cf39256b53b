"""The image commands that are not run, each with its reason; all others must have been."""

REASONS = {}
