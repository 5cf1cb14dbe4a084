"""GPT-OSS over ``ttnn``: the model under test, its fp32 reference, its weights and its TestFactory.

The parts, from the inside out: config, mesh_config, weights and checkpoint say what is built; component, ccl and
kv_cache carry it; rms_norm, rope, attention, router, experts, mlp, layer and model compute; reference computes the
same naively; comparison, bench and factory judge the one by the other.
"""
