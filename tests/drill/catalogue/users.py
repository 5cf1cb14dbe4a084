"""Faults of several users: whose token, whose position, whose cache, whose blocks."""

from __future__ import annotations

import ttnn

from gptoss import model as module
from gptoss.attention import Attention, KVCache, PagedKVCache, PageTable, Rope
from gptoss.attention.rope import listed
from gptoss.model import Model
from tests.drill.fault import fault
from tests.drill.shards import altered

ATTENTION = ("tests/layouts/test_attention.py",)
MODEL = ("tests/layouts/test_model.py",)


@fault("1x2", suite=ATTENTION)
def fill_the_first_user(patch):
    """Every prompt is stored as the first user's."""

    @patch.around(KVCache, "_write")
    def _(real, self, cache, new, user, start):
        real(self, cache, new, 0, start)


@fault("1x2", suite=ATTENTION)
def mix_two_users_up(patch):
    """In decode the keys and values of neighbouring users are stored in each other's caches."""

    @patch.around(ttnn.experimental, "paged_update_cache")
    def _(real, cache, new, **options):
        return real(cache, altered(new, lambda values: values.roll(1, dims=3)), **options)


@fault("1x2", suite=ATTENTION)
def rotate_all_users_as_the_first(patch):
    """All users' tokens are rotated by the position of the first."""

    @patch.around(Rope, "row")
    def _(real, self, positions):
        rotation = real(self, positions)
        return tuple(altered(table, lambda values: values[:, :, :, :1].expand_as(values)) for table in rotation)


@fault("1x2", suite=ATTENTION)
def see_as_much_as_the_longest(patch):
    """All users attend up to the farthest position of any: behind its own end each finds what the cache held."""

    @patch.around(ttnn.transformer, "scaled_dot_product_attention_decode")
    def _(real, *tensors, cur_pos_tensor, **options):
        farthest = altered(cur_pos_tensor, lambda at: at.amax(dim=-1, keepdim=True).expand_as(at))
        return real(*tensors, cur_pos_tensor=farthest, **options)


@fault("2x4", suite=ATTENTION)
def rows_read_the_next_rows_positions(patch):
    """Each row of users decodes at the positions of the row behind it."""

    @patch.around(KVCache, "positions")
    def _(real, self, indices):
        return altered(real(self, indices), lambda at: at.roll(1, dims=0))


@fault("1x2", suite=ATTENTION)
def start_every_chunk_at_zero(patch):
    """Each chunk of a prompt is stored where the first one was."""

    @patch.around(KVCache, "_write")
    def _(real, self, cache, new, user, start):
        real(self, cache, new, user, 0)


@fault("1x2", suite=ATTENTION)
def rotate_every_chunk_from_zero(patch):
    """Each chunk of a prompt is rotated as if it were the first."""

    @patch.around(Rope, "rows")
    def _(real, self, length, start=0):
        return real(self, length)


@fault("1x2", suite=ATTENTION)
def attend_to_own_chunk_only(patch):
    """A chunk of a prompt does not see the chunks before it."""

    @patch.around(Attention, "attend_after")
    def _(real, self, q, cache, user, start):
        return self.attend(q, *cache.drilled)

    @patch.around(KVCache, "fill")
    def _(real, self, *given, **options):
        self.drilled = real(self, *given, **options)
        return self.drilled


@fault("1x2", suite=ATTENTION)
def share_blocks_between_users(patch):
    """Blocks of a paged cache are handed out by page, so that users of the same page share one."""

    @patch.around(PageTable, "placed")
    def _(real, self):
        return altered(real(self), lambda table: table[:, :, :1].expand_as(table))


@fault("1x2", suite=ATTENTION)
def read_pages_in_reverse(patch):
    """Decode reads a user's blocks last page first."""

    @patch.around(PagedKVCache, "attend")
    def _(real, self, q, positions, **options):
        table = altered(self.table.placed(), lambda pages: pages.flip(dims=(-1,)))
        return ttnn.transformer.paged_scaled_dot_product_attention_decode(
            q, self.keys, self.values, table, cur_pos_tensor=positions, **options
        )


@fault("2x4", suite=MODEL)
def embed_the_first_rows_tokens(patch):
    """Every row of users gets the tokens of the first."""

    @patch.op(module, "embedding")
    def _(real, ids, table, **options):
        return real(altered(ids, lambda tokens: tokens[:1].expand_as(tokens)), table, **options)


@fault("1x2", suite=ATTENTION)
def write_for_waiting_users(patch):
    """A user without a token, at position -1, is taken for one at position 0, and its first token is overwritten."""

    @patch.around(KVCache, "positions")
    def _(real, self, indices):
        return altered(real(self, indices), lambda at: at.clamp(min=0))


@fault("1x2", suite=ATTENTION)
def fill_the_first_users_pages(patch):
    """Prompts are stored in, and read from, the blocks of the first user."""

    @patch.around(PageTable, "pages_of")
    def _(real, self, user, start=0):
        return real(self, 0, start)


@fault("2x4", suite=ATTENTION)
def give_rows_each_others_pages(patch):
    """Each row of users reads the table of pages of another."""

    @patch.around(PageTable, "_send")
    def _(real, self, host):
        return altered(real(self, host), lambda pages: pages.roll(1, dims=0))


@fault("1x2", suite=ATTENTION)
def start_chunks_a_tile_early(patch):
    """The queries of a chunk stand one tile before their place: the last tile of keys is hidden from them."""

    @patch.around(Attention, "attend_after")
    def _(real, self, q, cache, user, start):
        return real(self, q, cache, user, start - 32)


@fault("1x2", suite=ATTENTION)
def forget_sinks_of_later_chunks(patch):
    """The kernel that attends to earlier chunks is not given the sinks."""

    @patch.around(ttnn.transformer, "chunked_scaled_dot_product_attention")
    def _(real, *tensors, attention_sink, **options):
        return real(*tensors, **options)


@fault("1x2", suite=ATTENTION)
def decode_from_pages_without_window(patch):
    """The paged decode kernel is not told of the window; the contiguous one is."""

    @patch.around(ttnn.transformer, "paged_scaled_dot_product_attention_decode")
    def _(real, *tensors, sliding_window_size, **options):
        return real(*tensors, **options)


@fault("1x2", suite=MODEL)
def join_logits_in_reverse(patch):
    """The logits of a prompt in chunks are joined last chunk first."""

    @patch.op(module, "concat")
    def _(real, parts, **options):
        return real(parts[::-1], **options)


@fault("1x2", suite=MODEL)
def embed_the_next_users_token(patch):
    """In decode each user gets the token of its neighbour."""

    @patch.around(Model, "decode")
    def _(real, self, tokens, positions, caches):
        return real(self, [*listed(tokens)[1:], listed(tokens)[0]], positions, caches)
