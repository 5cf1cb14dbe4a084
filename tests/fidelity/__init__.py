"""Hold the emulator against the real ttnn: calls, golden functions and host conversions.

``nox -s fidelity`` runs it where the real wheel is installed; what the wheel answered to the calls is kept in
``recorded/``, so that the emulator is checked without the wheel too.
"""
