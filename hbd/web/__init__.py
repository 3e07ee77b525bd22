"""The web side: HTTP API, pages and live feed."""
