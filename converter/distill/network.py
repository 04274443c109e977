"""UNet2DModel in plain PyTorch, with diffusers' configuration keys and state-dict names.

The part of the family that Mote runs best: convolutions for resampling (stride 2 down, nearest neighbour and a
convolution up), attention per level or none, time by a sinusoid, classes by a table. Anything else in a configuration is
refused by name.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

# What a configuration may hold, with diffusers' defaults for what is absent. Keys with one value are fixed.
DEFAULTS = {
    "in_channels": 3, "out_channels": 3, "block_out_channels": (224, 448, 672, 896), "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "add_attention": True, "attention_head_dim": 8, "norm_num_groups": 32, "norm_eps": 1e-5, "sample_size": None,
    "num_class_embeds": None, "flip_sin_to_cos": True, "freq_shift": 0, "downsample_padding": 1,
    "resnet_time_scale_shift": "default",
}
FIXED = {
    "act_fn": "silu", "attn_norm_num_groups": None, "center_input_sample": False, "class_embed_type": None,
    "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "mid_block_scale_factor": 1,
    "num_train_timesteps": None, "time_embedding_type": "positional",
}
DOWN, UP = {"DownBlock2D": False, "AttnDownBlock2D": True}, {"UpBlock2D": False, "AttnUpBlock2D": True}


class NetworkError(Exception):
    pass


def complete(config):
    """The configuration with every key, checked."""
    full = dict(DEFAULTS)
    for key, value in config.items():
        value = tuple(value) if isinstance(value, list) else value
        if key in FIXED:
            if value != FIXED[key]:
                raise NetworkError("%s: found %r, expected %r" % (key, value, FIXED[key]))
        elif key in DEFAULTS:
            full[key] = value
        elif not key.startswith("_"):
            raise NetworkError("%s is no key of a UNet2DModel that is known here" % key)
    levels = len(full["block_out_channels"])
    for key, known in (("down_block_types", DOWN), ("up_block_types", UP)):
        if len(full[key]) != levels:
            raise NetworkError("%s: found %d blocks, expected %d" % (key, len(full[key]), levels))
        for name in full[key]:
            if name not in known:
                raise NetworkError("%s: found %s, expected %s" % (key, name, " or ".join(known)))
    for width in full["block_out_channels"]:
        if width % full["norm_num_groups"]:
            raise NetworkError("block_out_channels: found %d, expected a multiple of norm_num_groups (%d)"
                               % (width, full["norm_num_groups"]))
    if full["resnet_time_scale_shift"] not in ("default", "scale_shift"):
        raise NetworkError("resnet_time_scale_shift: found %r, expected \"default\" or \"scale_shift\""
                           % full["resnet_time_scale_shift"])
    return full


def diffusersConfig(full):
    """What diffusers writes as unet/config.json."""
    config = {"_class_name": "UNet2DModel", "_diffusers_version": "0.29.2", **FIXED, **full}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in sorted(config.items())}


def timeFeatures(t, width, flip, shift):
    """[N] timesteps -> [N, width]: sines and cosines of frequencies from 1 down to 1/10000 (Ho et al. 2020)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / (half - shift))
    angles = t.float()[:, None] * frequencies[None]
    parts = (torch.cos(angles), torch.sin(angles)) if flip else (torch.sin(angles), torch.cos(angles))
    return torch.cat(parts, dim=1)


class Silu(torch.autograd.Function):
    """x sigmoid(x). On processors the sigmoid and a product take two thirds of the time of PyTorch 1.13's own, and its
    gradient by them a fifth."""

    @staticmethod
    def forward(context, x):
        sigmoid = torch.sigmoid(x)
        context.save_for_backward(x, sigmoid)
        return x * sigmoid

    @staticmethod
    def backward(context, gradient):
        x, sigmoid = context.saved_tensors
        scaled = gradient * sigmoid
        return scaled.addcmul_(x, scaled * (1 - sigmoid))


def silu(x):
    return F.silu(x) if x.is_cuda else Silu.apply(x)


class GroupNorm(nn.GroupNorm):
    """In the arithmetic of what comes in: PyTorch 1.13 wants weights of the same type on processors."""

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class TimeEmbedding(nn.Module):
    def __init__(self, width, embedding):
        super().__init__()
        self.linear_1 = nn.Linear(width, embedding)
        self.linear_2 = nn.Linear(embedding, embedding)

    def forward(self, features):
        return self.linear_2(silu(self.linear_1(features)))


class ResnetBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding, full):
        super().__init__()
        groups, eps = full["norm_num_groups"], full["norm_eps"]
        self.scaleShift = full["resnet_time_scale_shift"] == "scale_shift"
        self.norm1 = GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, outputs * (2 if self.scaleShift else 1))
        self.norm2 = GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, time):
        h = self.conv1(silu(self.norm1(x)))
        time = self.time_emb_proj(time)[:, :, None, None]  # time is silu(embedding), the same for all blocks
        if self.scaleShift:
            scale, shift = time.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + time)
        h = self.conv2(silu(h))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels, full, norm=True):
        super().__init__()
        self.heads = channels // (full["attention_head_dim"] or channels)
        if norm:
            self.group_norm = GroupNorm(full["norm_num_groups"], channels, full["norm_eps"])
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = (self.group_norm(x) if hasattr(self, "group_norm") else x).reshape(n, c, h * w).transpose(1, 2)

        def heads(projected):  # [N, T, C] -> [N, heads, T, C / heads]
            return projected.reshape(n, h * w, self.heads, -1).transpose(1, 2)

        q, k, v = heads(self.to_q(tokens)), heads(self.to_k(tokens)), heads(self.to_v(tokens))
        scores = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(c // self.heads), dim=-1)
        out = self.to_out[0]((scores @ v).transpose(1, 2).reshape(n, h * w, c))
        return x + out.transpose(1, 2).reshape(n, c, h, w)


class Downsampler(nn.Module):
    def __init__(self, channels, padding):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x):
        return self.conv(x if self.conv.padding[0] else F.pad(x, (0, 1, 0, 1)))


class Upsampler(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class DownBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding, full, attention, last):
        super().__init__()
        count = full["layers_per_block"]
        self.resnets = nn.ModuleList(
            [ResnetBlock(inputs if i == 0 else outputs, outputs, embedding, full) for i in range(count)])
        if attention:
            self.attentions = nn.ModuleList([Attention(outputs, full) for _ in range(count)])
        if not last:
            self.downsamplers = nn.ModuleList([Downsampler(outputs, full["downsample_padding"])])

    def forward(self, x, time, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if hasattr(self, "attentions"):
                x = self.attentions[i](x)
            skips.append(x)
        if hasattr(self, "downsamplers"):
            x = self.downsamplers[0](x)
            skips.append(x)
        return x


class UpBlock(nn.Module):
    """`inputs` come from below, `skip` is the width of the level above, which made the last skip connection."""

    def __init__(self, inputs, outputs, skip, embedding, full, attention, last):
        super().__init__()
        count = full["layers_per_block"] + 1
        self.resnets = nn.ModuleList([
            ResnetBlock((inputs if i == 0 else outputs) + (skip if i == count - 1 else outputs), outputs, embedding, full)
            for i in range(count)])
        if attention:
            self.attentions = nn.ModuleList([Attention(outputs, full) for _ in range(count)])
        if not last:
            self.upsamplers = nn.ModuleList([Upsampler(outputs)])

    def forward(self, x, time, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), time)
            if hasattr(self, "attentions"):
                x = self.attentions[i](x)
        return self.upsamplers[0](x) if hasattr(self, "upsamplers") else x


class MidBlock(nn.Module):
    def __init__(self, channels, embedding, full):
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, embedding, full) for _ in range(2)])
        if full["add_attention"]:  # diffusers leaves the norm out with scale_shift
            norm = full["resnet_time_scale_shift"] == "default"
            self.attentions = nn.ModuleList([Attention(channels, full, norm)])

    def forward(self, x, time):
        x = self.resnets[0](x, time)
        if hasattr(self, "attentions"):
            x = self.attentions[0](x)
        return self.resnets[1](x, time)


class UNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = full = complete(config)
        widths = full["block_out_channels"]
        embedding, levels = 4 * widths[0], len(widths)
        self.conv_in = nn.Conv2d(full["in_channels"], widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], embedding)
        if full["num_class_embeds"]:
            self.class_embedding = nn.Embedding(full["num_class_embeds"], embedding)
        self.down_blocks = nn.ModuleList([
            DownBlock(widths[max(i - 1, 0)], widths[i], embedding, full, DOWN[full["down_block_types"][i]],
                      i == levels - 1) for i in range(levels)])
        self.mid_block = MidBlock(widths[-1], embedding, full)
        up = widths[::-1]
        self.up_blocks = nn.ModuleList([
            UpBlock(up[max(i - 1, 0)], up[i], up[min(i + 1, levels - 1)], embedding, full,
                    UP[full["up_block_types"][i]], i == levels - 1) for i in range(levels)])
        self.conv_norm_out = GroupNorm(full["norm_num_groups"], widths[0], full["norm_eps"])
        self.conv_out = nn.Conv2d(widths[0], full["out_channels"], 3, padding=1)

    def forward(self, x, t, labels=None):
        """x [N, C, H, W], t [N] timesteps, labels [N] class numbers -> [N, C', H, W]."""
        full = self.config
        features = timeFeatures(t, full["block_out_channels"][0], full["flip_sin_to_cos"], full["freq_shift"])
        embedding = self.time_embedding(features.to(x.dtype))
        if full["num_class_embeds"]:
            embedding = embedding + self.class_embedding(labels)
        time = silu(embedding)
        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, time, skips)
        x = self.mid_block(x, time)
        for block in self.up_blocks:
            x = block(x, time, skips)
        return self.conv_out(silu(self.conv_norm_out(x)))

    @property
    def sizeMultiple(self):
        """Width and height of an input are multiples of this."""
        return 2 ** (len(self.config["block_out_channels"]) - 1)


def parameterCount(network):
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def multiplyAdds(network, height, width):
    """Multiplications with addition of one forward pass of one image: convolutions, linear layers, attention products."""
    total = 0

    def add(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif isinstance(module, Attention):
            n, c, h, w = output.shape
            total += 2 * n * c * (h * w) ** 2

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    x = next(network.parameters()).new_zeros(1, network.config["in_channels"], height, width)
    index = torch.zeros(1, dtype=torch.long, device=x.device)
    network(x, index, index)
    for hook in hooks:
        hook.remove()
    return total
