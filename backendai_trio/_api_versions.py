"""The versions of the API that this library can speak."""

from __future__ import annotations

API_VERSIONS = ("v2.20170315", "v4.20190615", "v5.20191215", "v6.20200815")
"""The API versions that are spoken, oldest first: one for each era of `wire.versions`."""
