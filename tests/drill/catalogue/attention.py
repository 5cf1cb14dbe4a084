"""Faults of attention: heads, masks, windows, sinks, scale, and the projections around them."""

from __future__ import annotations

import torch
import ttnn

from gptoss.attention import Attention
from gptoss.attention import attention as module
from gptoss.component import Component
from tests.drill.fault import fault
from tests.drill.shards import altered

TRANSFORMER = ttnn.transformer
PREFILL, DECODE = "scaled_dot_product_attention", "scaled_dot_product_attention_decode"


def with_option(patch, name, option, change):
    """Let one keyword of an attention kernel be what ``change`` makes of it."""

    @patch.around(TRANSFORMER, name)
    def _(real, *tensors, **options):
        return real(*tensors, **(options | {option: change(options[option])}))


@fault("1x2")
def bias_added_by_every_column(patch):
    """A row-parallel bias is added TP times: every column's partial sum carries it."""

    @patch.around(Component, "bias_once")
    def _(real, self, host):
        return self.split(torch.cat([host] * self.tp, dim=-1), -1)


@fault("2x4", scale="tiny-padded")
def cut_padding_on_the_wrong_side(patch):
    """The sum of padded shards is cut to the hidden size at its end, so the padding stays and values go."""

    @patch.op(module, "slice")
    def _(real, x, begins, ends):
        moved = x.shape[-1] - ends[-1]
        return real(x, [*begins[:-1], begins[-1] + moved], [*ends[:-1], ends[-1] + moved])


@fault("2x4", scale="tiny-padded")
def keep_padding(patch):
    """The padding of the output projection is not sliced off after the reduce."""

    @patch.op(module, "slice")
    def _(real, x, begins, ends):
        return real(x, begins, [*ends[:-1], x.shape[-1]])


@fault("1x2")
def join_projections_without_reordering(patch):
    """Fused q, k and v are split as [all q | all k | all v]: a column's chunk is not [its q | its k | its v]."""

    @patch.around(Attention, "_interleave")
    def _(real, self, parts):
        return torch.cat(parts, dim=-1)


@fault("1x1")
def swap_keys_and_values(patch):
    """The weights of keys are loaded as values and the other way round."""
    swapped = {"k_proj": "v_proj", "v_proj": "k_proj"}

    @patch.around(Component, "weight")
    def _(real, self, name):
        _, _, last = name.partition("self_attn.")
        kind, _, end = last.partition(".")
        return real(self, f"self_attn.{swapped[kind]}.{end}" if kind in swapped else name)


@fault("1x1")
def group_queries_by_remainder(patch):
    """Query head i reads kv head i mod Nk; it should read head i // (Nq / Nk)."""

    @patch.around(TRANSFORMER, PREFILL)
    def _(real, q, k, v, **options):
        groups = q.shape[1] // k.shape[1]
        order = [head * k.shape[1] + kv for kv in range(k.shape[1]) for head in range(groups)]
        back = sorted(range(len(order)), key=order.__getitem__)
        options["attention_sink"] = altered(options["attention_sink"], lambda values: values[:, :, :, order])
        y = real(altered(q, lambda values: values[:, :, :, order]), k, v, **options)
        return altered(y, lambda values: values[:, :, :, back])


@fault("1x1")
def see_the_future(patch):
    """The causal mask of a prompt is missing, and with it the window: each token sees those that come after it."""

    @patch.around(TRANSFORMER, PREFILL)
    def _(real, *tensors, is_causal, sliding_window_size, **options):
        return real(*tensors, is_causal=False, **options)


@fault("1x1")
def widen_window(patch):
    """The sliding window holds one token more: key j is visible from i - 128 on, not from i - 127."""
    for name in (PREFILL, DECODE):
        with_option(patch, name, "sliding_window_size", lambda window: window and window + 1)


@fault("1x1")
def narrow_window(patch):
    """The sliding window holds one token less: the token itself is not counted into it."""
    for name in (PREFILL, DECODE):
        with_option(patch, name, "sliding_window_size", lambda window: window and window - 1)


@fault("1x1")
def decode_without_window(patch):
    """The window is kept in prompts and forgotten in decode, where the cache holds every token."""
    with_option(patch, DECODE, "sliding_window_size", lambda window: None)


@fault("2x4")
def slide_odd_layers(patch):
    """Odd layers slide and even ones see everything: the order of layer types is turned round."""

    @patch.around(Attention, "__init__")
    def _(real, self, *args, **kwargs):
        real(self, *args, **kwargs)
        self.window = self.config.sliding_window if self.layer % 2 else None


@fault("2x4")
def leave_sinks_unscaled(patch):
    """Sinks are stored as published, although the kernels multiply them by the scale."""

    def change(real, *tensors, attention_sink, scale, **options):
        return real(*tensors, attention_sink=ttnn.multiply(attention_sink, scale), scale=scale, **options)

    patch.around(TRANSFORMER, PREFILL)(change)
    patch.around(TRANSFORMER, DECODE)(change)


@fault("1x1")
def scale_sinks_in_decode_only(patch):
    """Sinks are divided by the scale for decode and not for prompts, as earlier published versions did."""

    @patch.around(TRANSFORMER, PREFILL)
    def _(real, *tensors, attention_sink, scale, **options):
        return real(*tensors, attention_sink=ttnn.multiply(attention_sink, scale), scale=scale, **options)


@fault("1x1")
def forget_sinks(patch):
    """Rows of attention sum to one: the sink takes no share of the softmax."""
    for name in (PREFILL, DECODE):
        with_option(patch, name, "attention_sink", lambda sink: None)


@fault("1x2")
def give_every_column_the_first_sinks(patch):
    """Sinks are replicated where heads are split: each column uses those of column 0."""

    @patch.around(Attention, "_load_sinks")
    def _(real, self):
        real(self)
        self.sinks = altered(self.sinks, lambda values: values[:, :1].expand_as(values))
        self.decode_sinks = altered(self.decode_sinks, lambda values: values[:, :1].expand_as(values))


@fault("1x1")
def take_head_width_from_hidden_size(patch):
    """Scores are divided by sqrt(hidden / heads), which is not the width of a head in this model."""

    @patch.around(Attention, "__init__")
    def _(real, self, *args, **kwargs):
        real(self, *args, **kwargs)
        wrong = (self.config.hidden_size / self.config.num_attention_heads) ** -0.5
        # The sinks stay what they were: they are divided by whatever the scale is.
        ratio = self.scale / wrong
        self.scale = wrong
        self.sinks, self.decode_sinks = (ttnn.multiply(sinks, ratio) for sinks in (self.sinks, self.decode_sinks))


def enlarge(patch, factor):
    """Let attention answer with ``factor`` times what it should."""

    @patch.around(Attention, "_output")
    def _(real, self, joined):
        return ttnn.multiply(real(self, joined), factor)


@fault("1x8")
def answer_one_per_cent_too_much(patch):
    """What attention answers is 1 % too large, all of it: less than the noise of a single value in bfloat8_b."""
    enlarge(patch, 1.01)


@fault("1x8", dtype="bfloat4_b")
def answer_a_tenth_too_much_in_four_bits(patch):
    """What attention answers is 10 % too large, all of it: half of the noise of a single value in bfloat4_b."""
    enlarge(patch, 1.1)
