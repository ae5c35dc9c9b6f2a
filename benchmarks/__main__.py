"""Run benchmarks: ``python -m benchmarks list`` and ``python -m benchmarks run NAME``.

``python -m benchmarks docs`` writes their results into the documents that quote them.
"""

import importlib
import pkgutil
import sys

import benchmarks
from benchmarks.documents import fill_documents
from benchmarks.results import write_result


def names() -> list[str]:
    """List the benchmarks: the modules of this package that have a ``run``."""
    found = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    return sorted(name for name in found if name not in ("__main__", "campaigns", "documents", "results", "gpu"))


def main() -> int:
    """List the benchmarks, or run some."""
    match sys.argv[1:]:
        case ["list"]:
            for name in names():
                summary = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
                print(f"{name:12} {summary}")
            return 0
        case ["docs"]:
            for path in fill_documents():
                print(path)
            return 0
        case ["run", name, *options] if name in names() or name == "all":
            for chosen in names() if name == "all" else [name]:
                write_result(chosen, importlib.import_module(f"benchmarks.{chosen}").run(options))
            return 0
    print(
        f"usage: python -m benchmarks list | run NAME [options] | docs\nnames: {', '.join(names())}, all",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
