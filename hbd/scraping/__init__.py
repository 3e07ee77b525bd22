"""Exporters of Prometheus metrics that hbd asks by itself: how they are asked, read, and put into our own words."""
