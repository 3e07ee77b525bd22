"""The ways in. Each file knows one wire format: it authenticates, validates, and hands the pipeline plain values."""
