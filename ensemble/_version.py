"""The version, kept where both the build and the package can read it."""

__version__ = "0.2.0"
