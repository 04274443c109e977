"""Writes the networks that Mote is measured on as ncnn has them: the text of its layers and a file of their weights.

A timestep is known when the network is written, as in Mote: each time projection is added to the bias that it follows. Attention is ncnn's
MultiHeadAttention over the pixels.
"""
import torch
import torch.nn.functional as F

from distill import network


class Writer:
    def __init__(self):
        self.layers, self.weights, self.used = [], [], {}

    def layer(self, kind, inputs, output, parameters=""):
        for name in inputs:
            self.used[name] = self.used.get(name, 0) + 1
        self.layers.append((kind, list(inputs), output, parameters))
        return output

    def name(self, what):
        return "%s%d" % (what, len(self.layers))

    def raw(self, tensor):
        self.weights.append(tensor.detach().numpy().astype("<f4").tobytes())

    def tagged(self, tensor):  # a word of 0: the weights are fp32
        self.weights.append(b"\0\0\0\0")
        self.raw(tensor)

    def convolution(self, x, conv, bias=None, pad=None):
        weight = conv.weight
        left, right = pad if pad else (conv.padding[0], conv.padding[0])
        self.tagged(weight)
        self.raw(conv.bias if bias is None else bias)
        return self.layer("Convolution", [x], self.name("conv"), "0=%d 1=%d 3=%d 4=%d 14=%d 15=%d 16=%d 5=1 6=%d" % (
            weight.shape[0], weight.shape[2], conv.stride[0], left, left, right, right, weight.numel()))

    def groupNorm(self, x, norm):
        self.raw(norm.weight)
        self.raw(norm.bias)
        return self.layer("GroupNorm", [x], self.name("norm"), "0=%d 1=%d 2=%e 3=1" % (
            norm.num_groups, norm.num_channels, norm.eps))

    def silu(self, x):
        return self.layer("Swish", [x], self.name("silu"))

    def add(self, a, b):
        return self.layer("BinaryOp", [a, b], self.name("add"), "0=0")

    def attention(self, x, attention, height, width):
        """Without the residual."""
        channels = attention.to_q.weight.shape[0]
        if hasattr(attention, "group_norm"):
            x = self.groupNorm(x, attention.group_norm)
        x = self.layer("Reshape", [x], self.name("flat"), "0=%d 1=%d" % (height * width, channels))
        x = self.layer("Permute", [x], self.name("tokens"), "0=1")
        for linear in (attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]):
            self.tagged(linear.weight)
            self.raw(linear.bias)
        x = self.layer("MultiHeadAttention", [x], self.name("attention"), "0=%d 1=%d 2=%d" % (
            channels, attention.heads, channels * channels))
        x = self.layer("Permute", [x], self.name("planes"), "0=1")
        return self.layer("Reshape", [x], self.name("map"), "0=%d 1=%d 2=%d" % (width, height, channels))

    def write(self, output, path):
        """`path`.param and `path`.bin; what is read twice is split, as ncnn wants it."""
        lines, blobs, alias = ["Input in 0 1 in"], 1, {}

        def split(name):
            nonlocal blobs
            count = self.used.get(name, 0)
            if count > 1:
                copies = ["%s_%d" % (name, i) for i in range(count)]
                lines.append("Split split_%s 1 %d %s %s" % (name, count, name, " ".join(copies)))
                blobs += count
                alias[name] = copies

        split("in")
        for kind, inputs, made, parameters in self.layers:
            inputs = [alias[name].pop() if alias.get(name) else name for name in inputs]
            final = "out" if made == output else made
            lines.append("%s %s %d 1 %s %s %s" % (kind, made, len(inputs), " ".join(inputs), final, parameters))
            blobs += 1
            split(made)
        with open(path + ".param", "w") as file:
            file.write("7767517\n%d %d\n%s\n" % (len(lines), blobs, "\n".join(lines)))
        with open(path + ".bin", "wb") as file:
            for weight in self.weights:
                file.write(weight)


def writeUNet(unet, timestep, size, path):
    full, out = unet.config, Writer()
    features = network.timeFeatures(torch.tensor([timestep]), full["block_out_channels"][0], full["flip_sin_to_cos"],
                                    full["freq_shift"])
    time = F.silu(unet.time_embedding(features))[0]

    def resnet(x, block):
        h = out.silu(out.groupNorm(x, block.norm1))
        bias = block.conv1.bias + block.time_emb_proj.weight @ time + block.time_emb_proj.bias
        h = out.convolution(h, block.conv1, bias)
        h = out.convolution(out.silu(out.groupNorm(h, block.norm2)), block.conv2)
        return out.add(h, out.convolution(x, block.conv_shortcut) if hasattr(block, "conv_shortcut") else x)

    def attend(x, blocks, i):
        return out.add(x, out.attention(x, blocks.attentions[i], size, size)) if hasattr(blocks, "attentions") else x

    x = out.convolution("in", unet.conv_in)
    skips = [x]
    for block in unet.down_blocks:
        for i, each in enumerate(block.resnets):
            x = attend(resnet(x, each), block, i)
            skips.append(x)
        if hasattr(block, "downsamplers"):
            conv = block.downsamplers[0].conv
            x = out.convolution(x, conv, pad=None if conv.padding[0] else (0, 1))
            size //= 2
            skips.append(x)
    x = resnet(x, unet.mid_block.resnets[0])
    x = resnet(attend(x, unet.mid_block, 0), unet.mid_block.resnets[1])
    for block in unet.up_blocks:
        for i, each in enumerate(block.resnets):
            x = attend(resnet(out.layer("Concat", [x, skips.pop()], out.name("concat"), "0=0"), each), block, i)
        if hasattr(block, "upsamplers"):
            size *= 2
            x = out.layer("Interp", [x], out.name("up"), "0=1 1=2.0 2=2.0")
            x = out.convolution(x, block.upsamplers[0].conv)
    out.write(out.convolution(out.silu(out.groupNorm(x, unet.conv_norm_out)), unet.conv_out), path)


class Single(torch.nn.Module):
    """One of the shapes that Mote is measured on by itself; `write` makes it ncnn's."""

    def __init__(self, kind, channels, outputs):
        super().__init__()
        self.kind = kind
        if kind == "conv":
            self.op = torch.nn.Conv2d(channels, outputs, 3, padding=1)
        elif kind == "norm":
            self.op = torch.nn.GroupNorm(32, channels, 1e-6)
        else:
            self.op = network.Attention(channels, {"attention_head_dim": channels // 4, "norm_num_groups": 32,
                                                   "norm_eps": 1e-6}, norm=False)

    def forward(self, x):
        if self.kind == "norm":
            return F.silu(self.op(x))
        return self.op(x) - x if self.kind == "attention" else self.op(x)

    def write(self, size, path):
        out = Writer()
        if self.kind == "conv":
            made = out.convolution("in", self.op)
        elif self.kind == "norm":
            made = out.silu(out.groupNorm("in", self.op))
        else:
            made = out.attention("in", self.op, size, size)
        out.write(made, path)


# As in made_ops.cpp: name, kind, channels, outputs, size. ncnn's attention has its projections in it.
SINGLES = [
    ("conv3x3 128->128 at 32x32", "conv", 128, 128, 32),
    ("conv3x3 320->320 at 64x64", "conv", 320, 320, 64),
    ("conv3x3 6->64 at 256x256", "conv", 6, 64, 256),
    ("attention 1024 tokens 256 wide 4 heads with projections", "attention", 256, 256, 32),
    ("GroupNorm+SiLU 128 at 128x128", "norm", 128, 128, 128),
]
