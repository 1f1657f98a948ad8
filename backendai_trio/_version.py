"""The release of this library, in one place for the package and its build; what it can speak."""

__version__ = "0.1.0"

API_VERSIONS = ("v2.20170315", "v4.20190615", "v5.20191215", "v6.20200815")
"""The API versions that are spoken, oldest first: one for each era of `wire.versions`."""
