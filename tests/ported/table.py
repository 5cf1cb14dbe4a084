"""Turn what was recorded into Markdown tables."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.ported.checkout import ImportedModule, TestLine

__all__ = ["imports_table", "outcomes_table"]

_MESH = re.compile(r"(?<![0-9])[0-9]+x[0-9]+(?![0-9])")
_PREFIX = "models.demos.gpt_oss."


def imports_table(modules: Sequence[ImportedModule]) -> str:
    """Return how many modules of each folder import, and each one that does not."""
    totals: Counter[str] = Counter()
    failed: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        folder = module.name.removeprefix(_PREFIX).rpartition(".")[0] or "."
        totals[folder] += 1
        if module.reason:
            failed[folder].append(f"`{module.name.rpartition('.')[2]}`: {module.reason}")
    rows = [
        f"| {folder} | {total - len(failed[folder])} of {total} | {'; '.join(failed[folder])} |"
        for folder, total in sorted(totals.items())
    ]
    return "\n".join(["| folder | modules that import | what does not |", "|---|---|---|", *rows])


def _key(test: str) -> tuple[str, str]:
    """Return a test's function with its parameters other than the mesh, and the mesh."""
    name, _, parameters = test.rpartition("/")[2].partition("[")
    found = _MESH.search(parameters)
    rest = [part for part in parameters.rstrip("]").split("-") if part and not _MESH.fullmatch(part)]
    kept = [
        part for part in rest if not part.startswith(("wormhole", "blackhole", "layer_", "mesh_", "fabric_", "device_"))
    ]
    return f"{name} {' '.join(kept)}".strip(), found.group() if found else "-"


def _shown(component: str) -> str:
    return component.removeprefix("run_").removeprefix("test_").removesuffix("_component")


def _measured(lines: Iterable[TestLine]) -> str:
    """Return the lowest PCC of each component beside its floor."""
    lowest: dict[str, TestLine] = {}
    for line in lines:
        if line.component and (line.component not in lowest or line.pcc < lowest[line.component].pcc):
            lowest[line.component] = line
    return ", ".join(f"{_shown(name)} {line.pcc:.4f} (≥ {line.floor:g})" for name, line in lowest.items())


def _outcome(lines: Sequence[TestLine]) -> str:
    ended = [line for line in lines if line.outcome]
    if not ended:
        return "did not end"
    worst = next((line for line in ended if line.outcome == "failed"), ended[-1])
    return worst.outcome if worst.outcome == "passed" else f"{worst.outcome}: {worst.reason[:200]}"


def outcomes_table(lines: Sequence[TestLine]) -> str:
    """Return a row per test and mesh: outcome, seconds and the lowest PCC of each component."""
    grouped: dict[tuple[str, str], list[TestLine]] = defaultdict(list)
    for line in lines:
        grouped[_key(line.test)].append(line)
    rows = [
        f"| {name} | {mesh} | {_outcome(found)} | {sum(line.seconds for line in found):.0f} | {_measured(found)} |"
        for (name, mesh), found in grouped.items()
    ]
    return "\n".join(["| test | mesh | outcome | s | lowest PCC, and its floor |", "|---|---|---|---|---|", *rows])
