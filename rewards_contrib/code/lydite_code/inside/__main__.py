"""Starts the driver, from this folder as the only place on the path beside the standard library."""

from driver import main  # type: ignore[import-not-found]

main()
