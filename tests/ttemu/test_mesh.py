"""Meshes open, nest and close as the real ones do."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn


def ones(mesh: ttnn.MeshDevice) -> ttnn.Tensor:
    """Return a tile of ones."""
    return ttnn.from_torch(torch.ones(32, 32), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=mesh)


def test_mesh_too_large_names_mesh_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")

    with pytest.raises(
        RuntimeError, match=r"mesh \[4, 4\] requires 16 devices, but only 8 are available on machine t3k \[2, 4\]"
    ):
        ttnn.open_mesh_device(ttnn.MeshShape(4, 4))


def test_mesh_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"mesh \[5, 5\] does not fit into machine galaxy \[8, 4\]"):
        ttnn.open_mesh_device(ttnn.MeshShape(5, 5))


def test_mesh_without_devices_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"mesh \[0, 4\] has zero devices"):
        ttnn.open_mesh_device(ttnn.MeshShape(0, 4))


@pytest.mark.parametrize("shape", [(1, 2), 8, "1x8"])
def test_mesh_shape_of_another_type_is_a_type_error(shape: object) -> None:
    with pytest.raises(TypeError, match=r"give ttnn.MeshShape"):
        ttnn.open_mesh_device(shape)


def test_mesh_without_a_shape_is_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "2x3")
    mesh = ttnn.open_mesh_device()

    assert mesh.shape == ttnn.MeshShape(2, 3)
    assert (mesh.get_num_devices(), mesh.get_device_ids()) == (6, list(range(6)))


def test_physical_ids_are_kept_and_checked() -> None:
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 2), physical_device_ids=[5, 9])

    assert mesh.get_device_id(ttnn.MeshCoordinate(0, 1)) == 9
    with pytest.raises(RuntimeError, match=r"physical_device_ids \[5\] do not fill mesh \[1, 2\]"):
        ttnn.open_mesh_device(ttnn.MeshShape(1, 2), physical_device_ids=[5])
    with pytest.raises(RuntimeError, match="lies outside"):
        mesh.get_device_id(ttnn.MeshCoordinate(1, 0))


def test_every_mesh_has_an_id_of_its_own(mesh: ttnn.MeshDevice, single: ttnn.MeshDevice) -> None:
    assert mesh.id() != single.id()


def test_grids_come_from_the_machine(mesh: ttnn.MeshDevice) -> None:
    assert mesh.compute_with_storage_grid_size() == ttnn.CoreCoord(8, 9)
    assert mesh.core_grid == ttnn.CoreGrid(y=9, x=8)
    assert mesh.dram_grid_size() == ttnn.CoreCoord(12, 1)
    assert mesh.arch() is ttnn.device.Arch.WORMHOLE_B0


def test_tensors_of_a_closed_mesh_are_not_allocated(mesh: ttnn.MeshDevice) -> None:
    value = ones(mesh)
    ttnn.close_mesh_device(mesh)

    assert not value.is_allocated()
    with pytest.raises(RuntimeError, match=r"ttnn.silu: input tensor .* is not allocated, its mesh device is closed"):
        ttnn.silu(value)


@pytest.mark.parametrize("use", [ones, ttnn.synchronize_device])
def test_closed_mesh_is_refused(mesh: ttnn.MeshDevice, use: object) -> None:
    mesh.close()

    with pytest.raises(RuntimeError, match=r"mesh device \d+ of shape MeshShape\(\[2, 4\]\) is closed"):
        use(mesh)


def test_closing_twice_is_silent(mesh: ttnn.MeshDevice) -> None:
    mesh.close()
    mesh.close()

    assert not mesh.is_open


def test_submesh_takes_its_devices_from_the_parent(mesh: ttnn.MeshDevice) -> None:
    child = mesh.create_submesh(ttnn.MeshShape(2, 2), ttnn.MeshCoordinate(0, 2))

    assert child.get_device_ids() == [2, 3, 6, 7]
    assert mesh.get_submeshes() == [child]


@pytest.mark.parametrize(("shape", "offset"), [((4, 2), None), ((1, 2), (0, 3)), ((1, 1), (2, 0))])
def test_submesh_outside_the_parent_is_refused(
    mesh: ttnn.MeshDevice, shape: tuple[int, int], offset: tuple[int, int] | None
) -> None:
    place = None if offset is None else ttnn.MeshCoordinate(*offset)

    with pytest.raises(RuntimeError, match=r"create_submesh: .* does not fit into MeshShape\(\[2, 4\]\)"):
        mesh.create_submesh(ttnn.MeshShape(*shape), place)


def test_submeshes_tile_the_parent(mesh: ttnn.MeshDevice) -> None:
    ids = [child.get_device_ids() for child in mesh.create_submeshes(ttnn.MeshShape(1, 2))]

    assert ids == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(RuntimeError, match="is not divisible by"):
        mesh.create_submeshes(ttnn.MeshShape(1, 3))


def test_submesh_closes_once_the_parent_is_quiet(mesh: ttnn.MeshDevice) -> None:
    child = mesh.create_submesh(ttnn.MeshShape(1, 2))
    for device in (mesh, child):
        ttnn.add(ones(device), ones(device))

    with pytest.raises(RuntimeError, match="cq ID 0 is in use by parent mesh ID"):
        child.close()
    mesh.quiesce_devices()
    child.close()

    assert not child.is_open


def test_tensors_of_mesh_and_submesh_do_not_mix(mesh: ttnn.MeshDevice) -> None:
    child = mesh.create_submesh(ttnn.MeshShape(2, 4))

    with pytest.raises(RuntimeError, match="operands need to be on the same device"):
        ttnn.add(ones(mesh), ones(child))


def test_parent_does_not_close_before_a_submesh_that_ran(mesh: ttnn.MeshDevice) -> None:
    child = mesh.create_submesh(ttnn.MeshShape(1, 2))
    ttnn.silu(ones(child))

    with pytest.raises(RuntimeError, match=r"submesh .* ran ops and is still open, the real library aborts here"):
        ttnn.close_mesh_device(mesh)
    child.close()
    mesh.close()


def test_parent_closes_idle_submeshes(mesh: ttnn.MeshDevice) -> None:
    child = mesh.create_submesh(ttnn.MeshShape(1, 2))
    mesh.close()

    assert not child.is_open


def test_with_block_closes_the_mesh() -> None:
    with ttnn.create_mesh_device(ttnn.MeshShape(1, 2)) as mesh:
        assert mesh.is_open
    assert not mesh.is_open


def test_default_device_is_remembered(mesh: ttnn.MeshDevice) -> None:
    ttnn.SetDefaultDevice(mesh)
    assert ttnn.GetDefaultDevice() is mesh

    ttnn.SetDefaultDevice(None)
    assert ttnn.GetDefaultDevice() is None


def test_mesh_device_is_its_own_context() -> None:
    with ttnn.open_mesh_device(ttnn.MeshShape(1, 1)) as mesh:
        assert repr(mesh) == "MeshDevice(1x1 grid, 1 devices)"
    assert not mesh.is_open


def test_single_device_is_a_mesh_of_one() -> None:
    device = ttnn.open_device(device_id=3)

    assert (tuple(device.shape), device.get_device_ids()) == ((1, 1), [3])
    ttnn.close_device(device)
    assert not device.is_open


def test_reshaping_a_mesh_is_not_emulated(mesh: ttnn.MeshDevice) -> None:
    with pytest.raises(NotImplementedError, match="open the mesh in the shape that you need"):
        mesh.reshape(ttnn.MeshShape(4, 2))


def test_switches_that_change_nothing_are_accepted(mesh: ttnn.MeshDevice) -> None:
    corner = ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(1, 1))
    manager = mesh.create_sub_device_manager([ttnn.SubDevice([ttnn.CoreRangeSet([corner])])], 0)
    mesh.load_sub_device_manager(manager)
    mesh.set_sub_device_stall_group([ttnn.SubDeviceId(0)])
    mesh.reset_sub_device_stall_group()
    mesh.clear_loaded_sub_device_manager()
    mesh.remove_sub_device_manager(manager)
    mesh.enable_program_cache()
    mesh.clear_program_cache()
    mesh.disable_and_clear_program_cache()

    assert mesh.num_program_cache_entries() == 0
