"""Write one tensor's values over another."""

from __future__ import annotations

from ttemu.frame import check_same_device, overwrite, read, stored
from ttemu.tensor import Tensor

__all__ = ["copy"]


def copy(input_a: Tensor, input_b: Tensor) -> Tensor:
    """Write the first tensor's values over the second, in the dtype of the second."""
    values = read("copy", input_a)
    stored("copy", input_b)
    check_same_device("copy", input_a, input_b)
    if input_a.extents != input_b.extents or input_a.layout is not input_b.layout:
        raise RuntimeError(f"ttnn.copy: {input_a} does not match output tensor {input_b} in shape and layout")
    return overwrite("copy", values, input_b)
