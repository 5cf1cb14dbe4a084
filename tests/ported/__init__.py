"""Run GPT-OSS code written for tt-metal, unchanged, on the emulator: ``python -m tests.ported CHECKOUT``."""
