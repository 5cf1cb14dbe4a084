"""Faults at the two ends of the model: token ids in, logits out."""

from __future__ import annotations

from types import MappingProxyType

import torch

from gptoss import component
from gptoss import model as module
from gptoss.component import pad_last, tile_up
from gptoss.model import Model
from tests.drill.fault import fault
from tests.drill.shards import altered


@fault("1x1")
def embed_the_next_row(patch):
    """Each token gets the embedding of the next row."""

    @patch.op(module, "embedding")
    def _(real, ids, table, **options):
        return real(altered(ids, lambda tokens: (tokens + 1) % table.shape[-2]), table, **options)


@fault("1x8", scale="tiny-padded")
def pad_vocabulary_after_sharding(patch):
    """Each shard of the head is padded by itself, so token ids no longer start at device * padded width."""

    @patch.around(Model, "_load_head")
    def _(real, self):
        shards = self.state_dict["lm_head.weight"].T.chunk(self.tp, dim=-1)
        width = tile_up(shards[0].shape[-1])
        return self.split(torch.cat([pad_last(shard, width) for shard in shards], dim=-1)[None, None], -1, self.dtype)


@fault("1x8", scale="tiny-padded")
def pad_with_ones(patch):
    """The columns behind the vocabulary are not zero: they score, and can win."""

    @patch.everywhere(component, "pad_rows")
    def _(real, host, count):
        return torch.nn.functional.pad(host, (0, 0, 0, count - len(host)), value=1.0)


@fault("1x1")
def tie_head_to_embedding(patch):
    """The head is the embedding, as in models that tie them; this one does not."""

    @patch.around(Model, "_load_head")
    def _(real, self):
        own = self.state_dict
        self.state_dict = MappingProxyType({"lm_head.weight": own["model.embed_tokens.weight"]})
        head = real(self)
        self.state_dict = own
        return head


@fault("1x1")
def skip_final_norm(patch):
    """Logits are made of the stream as it is, without the last norm."""

    @patch.around(Model, "__init__")
    def _(real, self, *args, **kwargs):
        real(self, *args, **kwargs)
        self.norm.prefill = lambda x: x


@fault("1x2")
def copy_head_of_column_zero(patch):
    """Every column holds the first part of the vocabulary."""

    @patch.around(Model, "_load_head")
    def _(real, self):
        return altered(real(self), lambda values: values[:, :1].expand_as(values))


@fault("1x1")
def stop_one_layer_early(patch):
    """The last decoder layer is built and never run."""

    @patch.around(Model, "__init__")
    def _(real, self, *args, **kwargs):
        real(self, *args, **kwargs)
        last = self.layers[-1]
        last.prefill = lambda x, **_: x
        last.decode = lambda x, *_, **__: x
