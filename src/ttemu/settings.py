"""Offer ``ttnn.CONFIG``: the real library's switches at their defaults, of which none makes the emulator report."""

from __future__ import annotations

__all__ = ["CONFIG", "Config"]

_DEFAULTS: dict[str, object] = {
    "comparison_mode_pcc": 0.9999,
    "comparison_mode_should_raise_exception": False,
    "enable_comparison_mode": False,
    "enable_detailed_buffer_report": False,
    "enable_detailed_tensor_report": False,
    "enable_fast_runtime_mode": True,
    "enable_graph_python_stack_traces": False,
    "enable_graph_report": False,
    "enable_logging": False,
    "enable_model_cache": False,
    "report_name": None,
    "report_path": None,
    "strict_ccl_topology": False,
    "throw_exception_on_fallback": False,
    "validate_program_args": False,
}
# They change how the real library checks or compiles, which no emulated result depends on.
_HARMLESS = {"enable_fast_runtime_mode", "report_name", "throw_exception_on_fallback", "validate_program_args"}


class Config:
    """Switches that read as their defaults; one that would ask for a report is refused."""

    def __init__(self) -> None:
        vars(self).update(_DEFAULTS)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _DEFAULTS:
            raise AttributeError(f"ttnn.CONFIG has no attribute {name!r}")
        if value != getattr(self, name) and name not in _HARMLESS:
            raise NotImplementedError(f"ttnn.CONFIG.{name} = {value!r} is not emulated; run it with the real ttnn")
        vars(self)[name] = value


CONFIG = Config()
