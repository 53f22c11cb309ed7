"""What runs inside a sandbox, beside the program. Standard library only, and nothing here knows an expected value."""
