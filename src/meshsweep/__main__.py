"""Run the command line as ``python -m meshsweep``."""

from meshsweep.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
