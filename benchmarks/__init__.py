"""Benchmarks: one command measures, prints, and draws; README.md here says how to read it."""
