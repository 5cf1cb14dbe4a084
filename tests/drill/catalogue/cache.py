"""Faults of the cache: what is written where, and how much of it decode sees."""

from __future__ import annotations

import ttnn

from gptoss.attention.kv_cache import KVCache
from gptoss.model import Model
from tests.drill.fault import fault
from tests.drill.shards import altered


@fault("2x4")
def write_cache_one_late(patch):
    """A token's key and value land one position behind where attention looks for them."""

    @patch.around(ttnn.experimental, "paged_update_cache")
    def _(real, cache, new, *, update_idxs_tensor, **options):
        return real(cache, new, update_idxs_tensor=altered(update_idxs_tensor, lambda at: at + 1), **options)


@fault("1x1")
def decode_without_the_new_token(patch):
    """Decode attends up to the position before its own: the token does not see itself."""

    @patch.around(ttnn.transformer, "scaled_dot_product_attention_decode")
    def _(real, *tensors, cur_pos_tensor, **options):
        return real(*tensors, cur_pos_tensor=altered(cur_pos_tensor, lambda at: (at - 1).clamp(min=0)), **options)


@fault("1x1")
def fill_values_with_keys(patch):
    """A prompt's keys are stored as its values too."""

    @patch.around(KVCache, "fill")
    def _(real, self, keys, values, *args, **kwargs):
        stored = real(self, keys, keys, *args, **kwargs)
        return stored[0], ttnn.typecast(values, self.dtype)


@fault("1x1")
def share_one_cache_between_layers(patch):
    """All layers write into the cache of the first."""

    @patch.around(Model, "new_caches")
    def _(real, self, *args, **kwargs):
        caches = real(self, *args, **kwargs)
        return [caches[0]] * len(caches)


@fault("1x1")
def keep_cache_in_four_bits(patch):
    """Keys and values are kept in the four-bit format of the experts."""

    @patch.around(KVCache, "__init__")
    def _(real, self, *args, dtype, **kwargs):
        real(self, *args, dtype=ttnn.bfloat4_b, **kwargs)


@fault("2x4")
def update_all_rows_but_the_last(patch):
    """Decode does not write into the caches of the last row, which hold copies of the others'."""

    @patch.around(ttnn.experimental, "paged_update_cache")
    def _(real, cache, new, *, update_idxs_tensor, **options):
        def skip(at):
            at[-1] = -1
            return at

        return real(cache, new, update_idxs_tensor=altered(update_idxs_tensor, skip), **options)
