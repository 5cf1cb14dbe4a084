"""Run it: ``python -m tests.ported CHECKOUT [--tests FILE ...] [-k EXPRESSION] [--experts N]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.ported.checkout import Checkout
from tests.ported.checkpoint import write_checkpoint
from tests.ported.table import imports_table, outcomes_table

__all__ = ["main"]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ported", description="tt-metal's GPT-OSS on the emulator.")
    parser.add_argument("checkout", type=Path, help="a tt-metal working tree")
    parser.add_argument("--tests", nargs="*", default=[], metavar="FILE", help="files of its tests/unit to run")
    parser.add_argument("--components", action="store_true", help="run the components of a checkout of September 2025")
    parser.add_argument("-k", dest="select", default="", help="run the tests that match, as pytest's -k")
    parser.add_argument("--experts", type=int, default=32, help="experts of the model (20b has 32, 120b 128)")
    parser.add_argument("--vocabulary", type=int, default=201088, help="tokens that the model knows")
    parser.add_argument("--timeout", type=int, default=1500, help="seconds a test may take")
    parser.add_argument("--work", type=Path, help="where to keep the log and the record (default: nowhere)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and return 1 where a module did not import or a test failed."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        checkout = Checkout(root=options.checkout.resolve(), work=work)
        modules = checkout.import_all()
        sys.stdout.write(f"{imports_table(modules)}\n")
        components = checkout.run_components() if options.components else []
        if options.components:
            sys.stdout.write(f"\n{outcomes_table(components)}\n")
        lines = []
        if options.tests:
            model = write_checkpoint(work, experts=options.experts, vocabulary=options.vocabulary)
            lines = checkout.run_tests(model, options.tests, options.select, options.timeout)
            sys.stdout.write(
                f"\n{outcomes_table(lines) if lines else (work / 'pytest.log').read_text(encoding='utf-8')}\n"
            )
    failed = [module for module in modules if module.reason] + [
        line for line in [*components, *lines] if line.outcome == "failed"
    ]
    return 1 if failed or (options.tests and not lines) else 0


if __name__ == "__main__":
    sys.exit(main())
