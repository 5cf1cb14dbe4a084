"""GPT-OSS over ``ttnn``: the model under test, its fp32 reference, its weights and its TestFactory.

The parts, from the inside out: config and mesh_config say what is built, weights what it is built of; component and
ccl carry it; rms_norm, attention, moe, layer and model compute; reference computes the same naively; testing judges
the one by the other.
"""
