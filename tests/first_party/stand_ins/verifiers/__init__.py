"""The names of verifiers v1 that the adapter asks for: the package itself needs an environment of its own.

The adapter's own tests run against the real one, where `make peers-v1` has made that environment.
"""
