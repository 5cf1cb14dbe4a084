"""Faults of what travels between devices: sums, gathers, slices, and the buffers under them."""

from __future__ import annotations

import ttnn

from gptoss.ccl import CCLManager
from tests.drill.fault import fault
from tests.drill.shards import altered
from ttemu.collectives import movement

ROWS, COLUMNS = 0, 1


@fault("2x4")
def drop_row_reduce(patch):
    """Each row keeps the sum over its own experts: the all-reduce over the expert-parallel axis is left out."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return x if axis == ROWS else real(self, x, axis)


@fault("1x2")
def drop_column_reduce(patch):
    """Each column keeps its partial sum: the all-reduce over the tensor-parallel axis is left out."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return x if axis == COLUMNS else real(self, x, axis)


@fault("1x2")
def double_all_reduce(patch):
    """A sum that every device already holds is reduced once more, and grows by the number of devices."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return real(self, real(self, x, axis), axis)


@fault("2x4")
def reduce_over_the_other_axis(patch):
    """The all-reduce runs along the other cluster axis: what columns hold is summed over rows."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return real(self, x, 1 - axis)


@fault("1x4")
def lose_last_device_in_sum(patch):
    """The last device of a ring never adds its part to a sum."""

    @patch.everywhere(movement, "sum_axis")
    def _(real, values, axis, count, dtype):
        held = movement.copies(values, axis, count)
        return real(held.narrow(axis, 0, count - 1), axis, count, dtype)


@fault("2x4")
def leave_last_device_stale(patch):
    """The last device keeps old contents where the last block of an all-gather should have arrived.

    Seen on an eight-device ring where device 0 was right, so that comparing device 0 alone missed it.
    """

    @patch.around(CCLManager, "all_gather")
    def _(real, self, x, dim, axis):
        def forget(values):
            block = values[-1, -1].narrow(dim, values.shape[2 + dim] - x.shape[dim], x.shape[dim])
            block.zero_()
            return values

        return altered(real(self, x, dim, axis), forget)


@fault("1x4")
def gather_from_the_next_device(patch):
    """An all-gather starts with the block of device 1 and ends with that of device 0."""

    @patch.everywhere(movement, "gather_axis")
    def _(real, data, axis, dim, count):
        return real(movement.copies(data, axis, count).roll(-1, dims=axis), axis, dim, count)


@fault("1x4")
def scatter_to_the_next_device(patch):
    """A reduce-scatter hands device i the part of device i + 1."""

    @patch.everywhere(movement, "scatter_axis")
    def _(real, data, axis, dim, count):
        return real(data, axis, dim, count).roll(-1, dims=axis)


@fault("2x4")
def partition_takes_the_first_part(patch):
    """Every row works on the first slice of the tokens: the place along the axis does not enter the slice."""

    @patch.everywhere(movement, "own_part")
    def _(real, data, axis, dim, count):
        parts = real(data, axis, dim, count)
        return parts.narrow(axis, 0, 1).expand_as(parts)


@fault("1x2")
def reuse_output_buffer(patch):
    """A second all-gather of the same shape returns the buffer of the first, since its semaphore had been raised."""
    buffers = {}

    @patch.around(CCLManager, "all_gather")
    def _(real, self, x, dim, axis):
        gathered = real(self, x, dim, axis)
        return buffers.setdefault((tuple(gathered.shape), dim, axis), gathered)


@fault("1x4", dtype="bfloat16")
def round_hops_to_eight_bits(patch):
    """An all-reduce sends its partial sums in eight-bit blocks although the activations have sixteen."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return ttnn.typecast(real(self, ttnn.typecast(x, ttnn.bfloat8_b), axis), x.dtype)


@fault("2x4")
def make_nan_on_one_device(patch):
    """One device of eight answers with a NaN."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        def spoil(values):
            values[-1, 0, ..., 0] = float("nan")
            return values

        return altered(real(self, x, axis), spoil)


@fault("2x4")
def let_one_replica_drift(patch):
    """One replica of a sum lies one unit in the last place beside the others."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        def nudge(values):
            values[0, -1] *= 1 + 2**-7
            return values

        return altered(real(self, x, axis), nudge)


@fault("2x4")
def swap_shards_of_two_devices(patch):
    """Two neighbours of the mesh get each other's shard when weights are split over it."""

    @patch.around(ttnn.ShardTensor2dMesh, "apply")
    def _(real, self, tensor):
        data, span = real(self, tensor)
        if data.shape[COLUMNS] == 1:
            return data, span
        order = [1, 0, *range(2, data.shape[COLUMNS])]
        return data[:, order], span
