"""What is said of mistakes in ``matrix/``."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsweep import loader
from meshsweep.errors import MatrixError
from meshsweep.matrix import Split
from meshsweep.shape import MeshShape

from .project import MATRIX, Project

#: One changed file, and all that is said of it.
BESIDE = "expected pairs of chips that stand beside each other"

MISTAKES: list[tuple[str, str, list[str]]] = [
    (
        "meshes",
        """
        [meshes.1x8]
        decode = { tp = 3, ep = 1, sp = 1 }
        prefill = { tp = 8, ep = 2, sp = 1, dp = 1 }
        fabrik = "FABRIC_1D"
        [meshes.4by4]
        decode = { tp = 4, ep = 4, sp = 1 }
        """,
        [
            (
                "meshes.toml [meshes.1x8] decode: tp=3 ep=1 sp=1 does not divide the mesh; "
                "expected tp to divide its 8 columns, ep and sp its 1 rows"
            ),
            "meshes.toml [meshes.1x8].prefill dp: unknown key; did you mean tp or sp? choose from ep, sp, tp",
            (
                "meshes.toml [meshes.1x8] prefill: tp=8 ep=2 sp=1 does not divide the mesh; "
                "expected tp to divide its 8 columns, ep and sp its 1 rows"
            ),
            "meshes.toml [meshes.1x8] fabrik: unknown key; did you mean fabric? choose from decode, fabric, prefill",
            "meshes.toml [meshes.4by4]: mesh shape '4by4': expected ROWSxCOLS, such as 1x8",
            "meshes.toml [meshes.4by4] prefill: missing; expected a table",
        ],
    ),
    (
        "dtypes",
        """
        [dtypes.bfloat16]
        [dtypes.bfloat8_b]
        about = "x"
        bits = 8
        [dtypes.bf-4]
        about = "x"
        [dtype.bf4]
        """,
        [
            "dtypes.toml [dtypes.bfloat16] about: missing; expected a non-empty string",
            "dtypes.toml [dtypes.bfloat8_b] bits: unknown key; choose from about",
            "dtypes.toml [dtypes.bf-4]: has a dash in its name, which parts the axes of a cell; expected none",
            "dtypes.toml dtype: unknown key; did you mean dtypes? choose from dtypes",
        ],
    ),
    (
        "scales",
        """
        [fields]
        hidden_size = "integer"
        layers = ["integer"]
        eps = "float"
        [scales.tiny]
        about = "x"
        layers = 0
        config = { hiden_size = 1, hidden_size = 2.5, layers = 1 }
        [scales.tiny-padded]
        about = "x"
        layers = 1
        config = { hidden_size = true }
        [scales.big]
        about = "x"
        layers = 1
        """,
        [
            "scales.toml [fields] layers: is ['integer']; expected one of integer, number, boolean, text",
            "scales.toml [fields] eps: is 'float'; expected one of integer, number, boolean, text",
            "scales.toml [scales.tiny] layers: is 0; expected a whole number of at least 1",
            (
                "scales.toml [scales.tiny].config hiden_size: unknown field; did you mean hidden_size? "
                "choose from hidden_size, layers, eps"
            ),
            "scales.toml [scales.tiny].config hidden_size: is 2.5; expected a whole number",
            "scales.toml [scales.tiny-padded].config hidden_size: is True; expected a whole number",
            "scales.toml [scales.big] config: missing; expected a table",
        ],
    ),
    (
        "environments",
        """
        [environments.fake]
        about = "x"
        constraints = "nowhere.txt"
        python = []
        """,
        [
            "environments.toml [environments.fake] backend: missing; expected a non-empty string",
            "environments.toml [environments.fake] python: is []; expected a string or a list of at least one string",
            "environments.toml [environments.fake] constraints: is 'nowhere.txt'; expected a file in matrix/",
        ],
    ),
    (
        "machines",
        """
        [machines.virtual]
        about = "x"
        runner = "any"
        [machines.t3k]
        about = "x"
        shape = "2x4"
        rings = ["1x9", "1by8"]
        [machines.n300]
        about = "x"
        runner = "any"
        arch = "quasar"
        shape = "1x4"
        ids = [[0, 1, 2, 2]]
        board = "1x3"
        pcie = [0, 0, 9]
        bus = ["0000:01:00.0", "1:0"]
        unlinked = [[0, 2], [1]]
        [machines.half]
        about = "x"
        runner = "any"
        shape = "1x4"
        board = "1x2"
        pcie = [0]
        bus = ["0000:01:00.0", "0000:01:00.0"]
        unlinked = [0, 1]
        [machines.none]
        about = "x"
        runner = "any"
        board = "1x2"
        """,
        [
            "machines.toml [machines.t3k] runner: missing; expected a string or a list of at least one string",
            "machines.toml [machines.t3k] rings: mesh shape '1by8': expected ROWSxCOLS, such as 1x8",
            "machines.toml [machines.t3k] rings: holds 1x9; expected 1xN with N even, from 4 to the machine's 8 chips",
            "machines.toml [machines.n300] ids: is [[0, 1, 2, 2]]; expected 1 row of 4, each id of 0-3 once",
            "machines.toml [machines.n300] board: is 1x3; expected a shape that divides the system mesh 1x4",
            "machines.toml [machines.n300] pcie: is [0, 0, 9]; expected ids of chips, each once",
            "machines.toml [machines.n300] pcie: leaves chips 3 out of reach; expected one chip of every board",
            "machines.toml [machines.n300] bus: names 2 addresses; expected 3, one for each chip on PCIe",
            "machines.toml [machines.n300] bus: holds '1:0'; expected addresses such as 0000:01:00.0",
            "machines.toml [machines.n300] arch: is 'quasar'; expected wormhole_b0 or blackhole",
            "machines.toml [machines.n300] unlinked: holds [0, 2]; " + BESIDE,
            "machines.toml [machines.n300] unlinked: holds [1]; " + BESIDE,
            "machines.toml [machines.half] pcie: leaves chips 2, 3 out of reach; expected one chip of every board",
            "machines.toml [machines.half] bus: names 2 addresses; expected 1, one for each chip on PCIe",
            "machines.toml [machines.half] bus: names an address twice; expected one for each chip on PCIe",
            "machines.toml [machines.half] unlinked: is [0, 1]; expected a list of lists of whole numbers",
            "machines.toml [machines.none] board: unknown key; choose from about, runner, shape",
        ],
    ),
    (
        "tiers",
        """
        [tiers.default]
        about = "x"
        meshes = ["1x1", "1x9"]
        dtypes = "bf16"
        scales = []
        timeout_minutes = "20"
        """,
        [
            (
                "tiers.toml [tiers.default] meshes: unknown mesh '1x9'; did you mean 1x8 or 1x2? "
                "choose from 1x1, 1x2, 1x8, 4x4"
            ),
            (
                "tiers.toml [tiers.default] dtypes: unknown dtype 'bf16'; did you mean bfloat16? "
                "choose from bfloat16, bfloat8_b"
            ),
            "tiers.toml [tiers.default] scales: is []; expected a string or a list of at least one string",
            "tiers.toml [tiers.default] timeout_minutes: is '20'; expected a whole number of at least 1",
        ],
    ),
    (
        "rules",
        """
        [[include]]
        scale = "bigg"
        [[exclude]]
        mesh = []
        enviroment = "fake"
        reason = "x"
        [[exclusion]]
        """,
        [
            (
                "rules.toml [[include]] 1 scale: unknown scale 'bigg'; did you mean big? "
                "choose from tiny, tiny-padded, big"
            ),
            "rules.toml [[include]] 1 reason: missing; expected a non-empty string",
            "rules.toml [[exclude]] 1 mesh: is []; expected a string or a list of at least one string",
            (
                "rules.toml [[exclude]] 1 enviroment: unknown key; did you mean environment? "
                "choose from dtype, environment, mesh, reason, scale, tier"
            ),
            "rules.toml exclusion: unknown key; did you mean exclude? choose from exclude, include",
        ],
    ),
    (
        "floors",
        """
        [[floor]]
        component = "experts"
        dtype = "bfloat9"
        pcc = 1.5
        max_error = -1
        [[floor]]
        component = "mlp"
        dtype = "bfloat16"
        mesh = "2x2"
        pcc = 0.9
        max_error = 0.1
        rms_error = 0.1
        slope_error = 0.1
        why = "x"
        [[floor]]
        component = "layer"
        dtype = "bfloat16"
        pcc = 0.90
        measured_pcc = 0.99
        max_error = 0.15
        measured_max_error = 0.1
        rms_error = 0.15
        measured_rms_error = 0.1
        [[floor]]
        component = "layer"
        dtype = "bfloat16"
        pcc = 0.7
        measured_pcc = 0.85
        max_error = 0.5
        measured_max_error = 0.1
        rms_error = 0.1
        slope_error = 0.1
        reason = "seen and known"
        [[floor]]
        component = "head"
        dtype = "bfloat16"
        pcc = 0.7
        measured_pcc = 0.85
        max_error = 0.15
        measured_max_error = 0.1
        rms_error = 0.15
        measured_rms_error = 0.1
        slope_error = 0.15
        measured_slope_error = 0.1
        measured_on = { meshes = 0, cells = 2 }
        [[floor]]
        component = "generation"
        dtype = "bfloat16"
        top1 = 0.4
        """,
        [
            (
                "floors.toml [[floor]] 1 dtype: unknown dtype 'bfloat9'; did you mean bfloat16 or bfloat8_b? "
                "choose from bfloat16, bfloat8_b"
            ),
            "floors.toml [[floor]] 1 pcc: is 1.5; expected a number from 0 to 1",
            "floors.toml [[floor]] 1 max_error: is -1; expected a number from 0 to 10",
            (
                "floors.toml [[floor]] 1: bounds too little; "
                "expected all of pcc, max_error, rms_error, slope_error, or of top1, top5"
            ),
            (
                "floors.toml [[floor]] 1 measured_on: missing; "
                "expected on how many meshes, scales and samples, or a reason"
            ),
            "floors.toml [[floor]] 2 mesh: unknown mesh '2x2'; did you mean 1x2? choose from 1x1, 1x2, 1x8, 4x4",
            (
                "floors.toml [[floor]] 2 measured_on: missing; "
                "expected on how many meshes, scales and samples, or a reason"
            ),
            "floors.toml [[floor]] 2 pcc: is 0.9; expected measured_pcc beside it, or a reason",
            "floors.toml [[floor]] 2 max_error: is 0.1; expected measured_max_error beside it, or a reason",
            "floors.toml [[floor]] 2 rms_error: is 0.1; expected measured_rms_error beside it, or a reason",
            "floors.toml [[floor]] 2 slope_error: is 0.1; expected measured_slope_error beside it, or a reason",
            (
                "floors.toml [[floor]] 2 why: unknown key; choose from component, dtype, max_error, "
                "measured_max_error, measured_on, measured_pcc, measured_rms_error, measured_slope_error, "
                "measured_top1, measured_top5, mesh, pcc, reason, rms_error, scale, slope_error, top1, top5"
            ),
            (
                "floors.toml [[floor]] 3: bounds too little; "
                "expected all of pcc, max_error, rms_error, slope_error, or of top1, top5"
            ),
            (
                "floors.toml [[floor]] 3 measured_on: missing; "
                "expected on how many meshes, scales and samples, or a reason"
            ),
            "floors.toml [[floor]] 3 pcc: is 0.9, looser than 0.98, which follows from 0.99; give a reason",
            ("floors.toml [[floor]] 5.measured_on meshes: is 0; expected a whole number of at least 1"),
            "floors.toml [[floor]] 5.measured_on scales: missing; expected a whole number of at least 1",
            "floors.toml [[floor]] 5.measured_on samples: missing; expected a whole number of at least 1",
            "floors.toml [[floor]] 5.measured_on cells: unknown key; choose from meshes, samples, scales",
            "floors.toml [[floor]] 5 pcc: is 0.7; so low a floor hides defects: expected 0.8 or a reason",
            (
                "floors.toml [[floor]] 6: bounds too little; "
                "expected all of pcc, max_error, rms_error, slope_error, or of top1, top5"
            ),
            (
                "floors.toml [[floor]] 6 measured_on: missing; "
                "expected on how many meshes, scales and samples, or a reason"
            ),
            "floors.toml [[floor]] 6 top1: is 0.4; expected measured_top1 beside it, or a reason",
            "floors.toml [[floor]] 6 top1: is 0.4; so low a floor hides defects: expected 0.5 or a reason",
            "floors.toml [[floor]] 4: is the same component, dtype, scale and mesh as row 3; keep one",
        ],
    ),
    (
        "sessions",
        """
        [sessions.tests]
        environment = "faek"
        commands = []
        default = "yes"
        """,
        [
            "sessions.toml [sessions.tests] about: missing; expected a non-empty string",
            (
                "sessions.toml [sessions.tests] environment: unknown environment 'faek'; did you mean fake? "
                "choose from fake, silicon"
            ),
            "sessions.toml [sessions.tests] commands: is []; expected a list of commands, each a list of strings",
            "sessions.toml [sessions.tests] default: is 'yes'; expected true or false",
        ],
    ),
    (
        "defaults",
        """
        suite = []
        mesh = "2x4"
        dtype = "bfloat16"
        scale = "tiny"
        environment = "fake"
        machine = "laptop"
        teir = "default"
        """,
        [
            "defaults.toml suite: is []; expected a string or a list of at least one string",
            "defaults.toml mesh: unknown mesh '2x4'; did you mean 4x4? choose from 1x1, 1x2, 1x8, 4x4",
            "defaults.toml machine: unknown machine 'laptop'; choose from virtual, n300, t3k, galaxy",
            "defaults.toml tier: missing; expected a non-empty string",
            (
                "defaults.toml teir: unknown key; did you mean tier? "
                "choose from dtype, environment, machine, mesh, scale, suite, tier"
            ),
        ],
    ),
]


def mistakes(directory: Path) -> tuple[str, ...]:
    """Return what loading a directory complains of."""
    with pytest.raises(MatrixError) as caught:
        loader.load(directory)
    return caught.value.mistakes


@pytest.mark.parametrize(("file", "text", "expected"), MISTAKES, ids=[file for file, _, _ in MISTAKES])
def test_every_mistake_of_file_is_named(tmp_path: Path, file: str, text: str, expected: list[str]) -> None:
    found = mistakes(Project(tmp_path).declare(**{file: text}))

    assert list(found) == [f"matrix/{line}" for line in expected]


def test_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    wrong = {file: text for file, text, _ in MISTAKES if file in ("floors", "machines", "sessions")}
    found = mistakes(Project(tmp_path).declare(**wrong))

    assert {line.split()[0] for line in found} == {f"matrix/{file}.toml" for file in wrong}


@pytest.mark.parametrize("file", ["meshes", "dtypes", "scales", "environments", "machines", "tiers"])
def test_malformed_file_makes_no_noise_elsewhere(tmp_path: Path, file: str) -> None:
    found = mistakes(Project(tmp_path).declare(**{file: "[table\n"}))

    assert found == (
        f"matrix/{file}.toml: malformed TOML: Expected ']' at the end of a table declaration (at line 1, column 7)",
    )


def test_missing_file_is_the_only_mistake(tmp_path: Path) -> None:
    directory = Project(tmp_path).declare()
    (directory / "meshes.toml").unlink()

    assert mistakes(directory) == (f"matrix/meshes.toml: missing; expected this file in {directory}",)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "matrix/dtypes.toml dtypes: missing; expected a table"),
        ("[dtypes]", "matrix/dtypes.toml: declares nothing; expected at least one [dtypes.NAME]"),
    ],
)
def test_axis_without_names_is_refused(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(Project(tmp_path).declare(dtypes=text))[0] == mistake


def test_missing_field_table_is_noted_once(tmp_path: Path) -> None:
    scales = """
        [scales.tiny]
        about = "x"
        layers = 1
        config = { hidden_size = 1, num_layers = 1 }
        [scales.tiny-padded]
        about = "x"
        layers = 1
        config = {}
        [scales.big]
        about = "x"
        layers = 1
        config = {}
    """

    assert mistakes(Project(tmp_path).declare(scales=scales)) == (
        "matrix/scales.toml fields: missing; expected a table",
    )


@pytest.mark.parametrize("file", ["sessions", "rules", "floors"])
def test_some_files_may_be_missing(tmp_path: Path, file: str) -> None:
    directory = Project(tmp_path).declare()
    (directory / f"{file}.toml").unlink()
    matrix = loader.load(directory)

    assert not getattr(matrix, {"rules": "excludes"}.get(file, file))


def test_misnamed_file_is_not_ignored(tmp_path: Path) -> None:
    directory = Project(tmp_path).declare()
    (directory / "rules.toml").rename(directory / "rule.toml")

    assert mistakes(directory) == (
        (
            "matrix/rule.toml: unknown file; did you mean rules.toml or scales.toml? "
            "choose from defaults.toml, dtypes.toml, environments.toml, floors.toml, machines.toml, "
            "meshes.toml, quarantine.toml, rules.toml, scales.toml, sessions.toml, tiers.toml"
        ),
    )


def test_declared_values_reach_the_records(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix()

    assert matrix.meshes["4x4"].shape == MeshShape(rows=4, cols=4)
    assert matrix.meshes["4x4"].prefill == Split(tp=4, ep=1, sp=4)
    assert (matrix.meshes["1x1"].fabric, matrix.meshes["1x2"].fabric) == (None, "FABRIC_1D")
    assert matrix.scales["big"].config["activation"] == "silu"
    assert matrix.machines["t3k"].rings == (MeshShape(rows=1, cols=8),)
    assert matrix.tiers["nightly"].meshes == ("1x8",)
    assert matrix.tiers["default"].meshes == ("1x1", "1x2", "1x8", "4x4")
    assert matrix.sessions["tests"].commands == (("python", "-m", "pytest"),)


def test_matrix_of_this_project_loads() -> None:
    matrix = loader.load(Path(__file__).parents[2] / "matrix")

    assert list(matrix.meshes) == ["1x1", "1x2", "1x4", "1x8", "2x4", "4x4", "4x8"]
    assert list(matrix.dtypes) == ["bfloat16", "bfloat8_b", "bfloat4_b"]
    assert list(matrix.scales) == ["tiny", "tiny-padded", "guide-20b", "guide-120b", "gpt-oss-20b", "gpt-oss-120b"]
    assert list(matrix.tiers) == ["default", "nightly", "full"]
    assert all((matrix.root.parent / path).is_dir() for path in matrix.defaults.suite)


def test_machine_is_read_whole(tmp_path: Path) -> None:
    machines = """
        [machines.virtual]
        about = "none"
        runner = "any"
        [machines.box]
        about = "two boards"
        runner = ["self-hosted", "box"]
        arch = "blackhole"
        shape = "2x2"
        ids = [[0, 2], [1, 3]]
        board = "1x2"
        pcie = [1, 0]
        bus = ["0000:01:00.0", "0000:41:00.0"]
        unlinked = [[2, 0]]
        rings = ["1x4"]
    """
    machine = Project(tmp_path).matrix(machines=machines).machines["box"]

    assert [(c.id, c.row, c.col, c.board, c.pcie, c.bus) for c in machine.chips] == [
        (0, 0, 0, 0, 1, "0000:41:00.0"),
        (2, 0, 1, 0, None, None),
        (1, 1, 0, 1, 0, "0000:01:00.0"),
        (3, 1, 1, 1, None, None),
    ]
    assert machine.links == {(0, 1), (1, 3), (2, 3)}
    assert (machine.arch, machine.rings) == ("blackhole", (MeshShape(rows=1, cols=4),))


def test_memory_of_scale_is_in_gigabytes(tmp_path: Path) -> None:
    scales = MATRIX["scales.toml"].replace('about = "real"', 'about = "real"\n        memory_gb = 1.5')
    loaded = Project(tmp_path).matrix(scales=scales).scales

    assert {name: scale.memory_bytes for name, scale in loaded.items()} == {
        "tiny": 0,
        "tiny-padded": 0,
        "big": 1_500_000_000,
    }
