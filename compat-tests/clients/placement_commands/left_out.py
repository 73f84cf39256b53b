"""The placement commands that are not run, each with its reason; all others must have been. There are none."""

REASONS = {}
