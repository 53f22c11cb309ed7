"""`python -m lydite`: the command `lydite`, for launchers such as torchrun and `accelerate launch`."""

from lydite.cli import main

if __name__ == "__main__":
    main()
