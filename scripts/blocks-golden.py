#!/usr/bin/env python3
"""Block designs restated in PyTorch, for tests/check_blocks.c.

    python3 scripts/blocks-golden.py tests/data/blocks

Needs torch and safetensors.  Each function is a block as its paper (or, where they differ, its
published code) has it, written plainly: scans step by step, paths as lists of cells.  It draws
parameters under Krait's names and shapes, and says what comes out for x [2, H W, M]."""
import sys
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
M, N, R = 10, 4, 1


class Params(dict):
    """Whoever asks under the same name gets the same tensor; `pre` stands before all names."""
    pre = ""

    def new(self, name, *shape, scale=0.4, at=0.0):
        name = self.pre + name
        if name not in self:
            self[name] = at + scale * torch.randn(*shape)
        return self[name]

    def linear(self, name, x, n_out, bias=False):
        W = self.new(name + ".weight", n_out, x.shape[-1])
        b = self.new(name + ".bias", n_out) if bias else None
        return F.linear(x, W, b)

    def layernorm(self, name, x):
        D = x.shape[-1]
        return F.layer_norm(x, (D,), self.new(name + ".weight", D, at=1.0), self.new(name + ".bias", D), 1e-5)


E = 2 * M


def selective_scan(u, dt, A, B, C, D):
    """u, dt [S, L, E]; A [E, N]; B, C [S, L, N]."""
    h, ys = torch.zeros(u.shape[0], u.shape[2], A.shape[1]), []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + dt[:, t, :, None] * B[:, t, None, :] * u[:, t, :, None]
        ys.append((h * C[:, t, None, :]).sum(-1) + D * u[:, t])
    return torch.stack(ys, 1)


def causal_conv(p, name, x, K):
    W, b = p.new(name + ".weight", x.shape[-1], K), p.new(name + ".bias", x.shape[-1])
    y = F.conv1d(F.pad(x.transpose(1, 2), (K - 1, 0)), W[:, None], b, groups=x.shape[-1])
    return F.silu(y.transpose(1, 2))


def image(x, H, W):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], H, W)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def depthwise(p, name, x, H, W, side):
    D = x.shape[-1]
    w, b = p.new(name + ".weight", D, side * side), p.new(name + ".bias", D)
    return tokens(F.conv2d(image(x, H, W), w.reshape(D, 1, side, side), b, padding=side // 2, groups=D))


def dense(p, name, x, H, W, n_out, side, stride=1, bias=False):
    n_in = x.shape[-1]
    w = p.new(name + ".weight", n_out, side * side * n_in, scale=0.2)
    b = p.new(name + ".bias", n_out) if bias else None
    w = w.reshape(n_out, side, side, n_in).permute(0, 3, 1, 2)
    return tokens(F.conv2d(image(x, H, W), w, b, padding=(side - 1) // 2, stride=stride))


def s6_parameters(p, pre, E, A_names=("A_log",)):
    q = {"x_proj": p.new(pre + "x_proj.weight", R + 2 * N, E), "dt": p.new(pre + "dt_proj.weight", E, R), "dt_bias": p.new(pre + "dt_proj.bias", E)}
    q["A"] = [-torch.exp(p.new(pre + a, E, N)) for a in A_names]
    q["D"] = p.new(pre + "D", E)
    return q


def s6(q, u, A=0, extra_B=0):
    dt, B, C = torch.split(F.linear(u, q["x_proj"]), [R, N, N], -1)
    return selective_scan(u, F.softplus(F.linear(dt, q["dt"], q["dt_bias"])), q["A"][A], B + extra_B, C, q["D"])


def ss2d(p, x, H, W):
    """VMamba's SS2D: four routes with parameters of their own, summed, normalised, gated."""
    M, E = x.shape[-1], 2 * x.shape[-1]
    u, z = p.linear("in_proj", x, 2 * E).chunk(2, -1)
    u = F.silu(depthwise(p, "conv2d", u, H, W, 3))
    raster = torch.arange(H * W)
    columns = raster.reshape(H, W).T.flatten()
    y = 0
    for k, path in enumerate([raster, columns, raster.flip(0), columns.flip(0)]):
        out = torch.zeros_like(u)
        out[:, path] = s6(s6_parameters(p, f"route.{k}.", E), u[:, path])
        y = y + out
    return p.linear("out_proj", p.layernorm("out_norm", y) * F.silu(z), M)


def spanning_tree(x, H, W):
    """Prim's: which cells are joined.  x [H W, E]."""
    joined, edges = {0}, []
    near = lambda i: [j for j, there in ((i + 1, i % W + 1 < W), (i - 1, i % W > 0), (i + W, i + W < H * W), (i - W, i >= W)) if there]
    while len(joined) < H * W:
        w, i, j = min((-float(F.cosine_similarity(x[i], x[j], 0)), i, j) for i in joined for j in near(i) if j not in joined)
        joined.add(j)
        edges.append((i, j))
    return edges


def tree(p, x, H, W):
    """GrootV's scan: from every cell to every other along the one way through the tree, whose root is
    cell 0; the factor of an edge is its lower end's."""
    u, z = p.linear("in_proj", x, 2 * E).chunk(2, -1)
    u = F.silu(depthwise(p, "conv2d", u, H, W, 3))
    q = s6_parameters(p, "route.", E)
    dt, B, C = torch.split(F.linear(u, q["x_proj"]), [R, N, N], -1)
    dt = F.softplus(F.linear(dt, q["dt"], q["dt_bias"]))
    y = torch.zeros_like(u)
    for s in range(u.shape[0]):
        up = {0: None}
        edges = spanning_tree(u[s], H, W)  # grown from cell 0, so the first of each pair is the parent
        for i, j in edges:
            up[j] = i
        roots = {i: [i] for i in up}
        for i in up:
            while up[roots[i][-1]] is not None:
                roots[i].append(up[roots[i][-1]])
        for i in up:
            for j in up:
                way = (set(roots[i]) ^ set(roots[j]))  # the edges between: their lower ends
                f = torch.exp(sum((dt[s, k] for k in way), torch.zeros(E))[:, None] * q["A"][0])
                y[s, i] += (f * (dt[s, j] * u[s, j])[:, None] * B[s, j] * C[s, i]).sum(-1)
    y = y + q["D"] * u
    return p.linear("out_proj", p.layernorm("out_norm", y) * F.silu(z), M)


def vim_v2(p, x, H, W):
    """Vim, bimamba v2: each direction its own conv, x_proj, dt_proj, A, D; halved."""
    xz = p.linear("in_proj", x, 2 * E)
    y = 0
    for k in range(2):
        u, z = (xz.flip(1) if k else xz).chunk(2, -1)
        u = causal_conv(p, f"route.{k}.conv1d", u, 4)
        out = s6(s6_parameters(p, f"route.{k}.", E), u) * F.silu(z)
        y = y + (out.flip(1) if k else out)
    return p.linear("out_proj", y / 2, M)


def vim_v1(p, x, H, W):
    """Vim, bimamba v1: one conv and one set of products, A alone has a second copy."""
    u, z = p.linear("in_proj", x, 2 * E).chunk(2, -1)
    u = causal_conv(p, "conv1d", u, 4)
    q = s6_parameters(p, "route.", E, ("A_log.0", "A_log.1"))
    y = s6(q, u, 0) + s6(q, u.flip(1), 1).flip(1)
    return p.linear("out_proj", y * F.silu(z), M)


def plain_mamba(p, x, H, W):
    """PlainMamba as in the paper: shared parameters, four snakes, a vector for each direction in B."""
    u, z = p.linear("in_proj", x, 2 * E).chunk(2, -1)
    u = F.silu(depthwise(p, "conv2d", u, H, W, 3))
    rows = [h * W + (w if h % 2 == 0 else W - 1 - w) for h in range(H) for w in range(W)]
    columns = [(h if w % 2 == 0 else H - 1 - h) * W + w for w in range(W) for h in range(H)]
    q, table = s6_parameters(p, "route.", E), p.new("route.direction", 5, N)
    y = 0
    for path in [rows, rows[::-1], columns, columns[::-1]]:
        way = [0] + [{1: 1, -1: 2, -W: 3, W: 4}[b - a] for a, b in zip(path, path[1:])]
        out = torch.zeros_like(u)
        out[:, path] = s6(q, u[:, path], extra_B=table[way])
        y = y + out
    return p.linear("out_proj", y * F.silu(z), M)


def bi_mamba_plus(p, x, H, W):
    """Bi-Mamba+: Mamba-1 whose gate z lets in of x what it keeps from y."""
    u, z = p.linear("in_proj", x, 2 * E).chunk(2, -1)
    u = causal_conv(p, "conv1d", u, 4)
    y = s6(s6_parameters(p, "", E), u)
    return p.linear("out_proj", y * z * torch.sigmoid(z) + u * (1 - torch.sigmoid(z)), M)


def groupnorm(p, name, x, H, W, groups):
    D = x.shape[-1]
    return tokens(F.group_norm(image(x, H, W), groups, p.new(name + ".weight", D, at=1.0), p.new(name + ".bias", D), 1e-5))


def unet_block(p, x, H, W):
    """Two convolutions, each with a norm, an activation between."""
    y = F.relu(groupnorm(p, "norm.0", dense(p, "conv2d.0", x, H, W, M, 3), H, W, 5))
    return groupnorm(p, "norm.1", dense(p, "conv2d.1", y, H, W, M, 3), H, W, 5)


def convnext(p, x, H, W):
    y = p.layernorm("norm", depthwise(p, "conv2d", x, H, W, 7))
    return p.linear("fc2", F.gelu(p.linear("fc1", y, 4 * M, bias=True)), M, bias=True)


def down_conv(p, x, H, W):
    return dense(p, "conv2d", x, H, W, 2 * M, 3, stride=2, bias=True)


def down_merge(p, x, H, W):
    v = x.reshape(2, H // 2, 2, W // 2, 2, M).permute(0, 1, 3, 2, 4, 5).reshape(2, H * W // 4, 4 * M)
    return p.linear("reduce", p.layernorm("norm", v), 2 * M)


def down_max(p, x, H, W):
    return p.linear("reduce", tokens(F.max_pool2d(image(x, H, W), 2)), 2 * M, bias=True)


def up_shuffle(p, x, H, W):
    """A transposed convolution of stride 2: what the product and the shuffle say, said by torch."""
    D = M // 2
    w, b = p.new("expand.weight", 4 * D, M), p.new("expand.bias", 4 * D)
    kernel = w.reshape(2, 2, D, M).permute(3, 2, 0, 1)
    y = F.conv_transpose2d(image(x, H, W), kernel, stride=2)
    return tokens(y + b.reshape(2, 2, D).permute(2, 0, 1).repeat(1, H, W))


def medmamba(p, x, H, W):
    """SS-Conv-SSM, with norms over each channel of a picture for those over a batch."""
    left, right = x.chunk(2, -1)
    D = M // 2
    left = groupnorm(p, "norm.0", left, H, W, D)
    left = F.relu(groupnorm(p, "norm.1", dense(p, "conv2d.0", left, H, W, D, 3), H, W, D))
    left = F.relu(groupnorm(p, "norm.2", dense(p, "conv2d.1", left, H, W, D, 3), H, W, D))
    left = F.relu(p.linear("conv2d.2", left, D, bias=True))
    right = p.layernorm("norm", right)
    p.pre = "ss2d."
    right = ss2d(p, right, H, W)
    y = torch.cat([left, right], -1)
    return y.reshape(2, H * W, 2, D).transpose(2, 3).reshape(2, H * W, M)  # channel shuffle of 2 groups


def vmrnn(p, x, H, W):
    """Three frames, one above the other in x."""
    n, out = H * W, []
    h, c = torch.zeros(2, n, M), torch.zeros(2, n, M)
    for t in range(x.shape[1] // n):
        p.pre = ""
        xt = x[:, t * n:(t + 1) * n]
        v = p.linear("join", torch.cat([p.layernorm("norm", xt), p.layernorm("norm", h)], -1), M, bias=True)
        p.pre = "ss2d."
        v = xt + ss2d(p, v, H, W)
        f = torch.sigmoid(v)
        c = f * (c + torch.tanh(v))
        h = f * torch.tanh(c)
        out.append(h)
    return torch.cat(out, 1)


def gatedgcn(p, x, H, W):
    """A ring of 24 nodes and some chords, which are the same for both graphs."""
    L = H * W
    to = torch.arange(L).repeat(2)
    at = torch.cat([(torch.arange(L) + 1) % L, (torch.arange(L) * 5 + 2) % L])
    p["edge_to"], p["edge_from"] = to.repeat(2, 1).int(), at.repeat(2, 1).int()
    e = p.new("edge", 2, 2 * L, M)
    gate = p.linear("A", x, M, bias=True)[:, to] + p.linear("B", x, M, bias=True)[:, at] + p.linear("C", e, M, bias=True)
    s, v = torch.sigmoid(gate), p.linear("V", x, M, bias=True)[:, at]
    p.layernorm("edge_norm", gate)  # for the next layer's edges
    num = torch.zeros_like(x).index_add(1, to, s * v)
    den = torch.zeros_like(x).index_add(1, to, s)
    return F.relu(p.layernorm("norm", p.linear("U", x, M, bias=True) + num / (den + 1e-6)))


def snake(H, W, up):
    rows = range(H - 1, -1, -1) if up else range(H)
    return [h * W + (w if i % 2 == 0 else W - 1 - w) for i, h in enumerate(rows) for w in range(W)]


def diffusion_model(p, H, W):
    """ZigMa's layers: an adaptive norm, Mamba along one snake a layer, a gate; patches in, noise out.  For
    tests/check_diffusion.c: x [2, H W, 3], told a step of noise and a class, or none."""
    C, side = 3, 2
    h, w = H // side, W // side
    x, t, label = torch.randn(2, H * W, C), torch.tensor([3., 17.]), torch.tensor([2, -1])
    half = torch.exp(-torch.log(torch.tensor(10000.)) * torch.arange(3) / 3)
    time = torch.cat([torch.cos(t[:, None] * half), torch.sin(t[:, None] * half)], -1)
    p.pre = "backbone."
    v = x.reshape(2, h, side, w, side, C).permute(0, 1, 3, 2, 4, 5).reshape(2, h * w, side * side * C)
    s = p.linear("encoder", v, M, bias=True) + p.new("positions", h * w, M)
    c = p.linear("condition.fc2", F.silu(p.linear("condition.fc1", time, 7, bias=True)), 7, bias=True)
    table = p.new("condition.class", 3, 7)
    c = F.silu(c + torch.stack([table[k] if k >= 0 else torch.zeros(7) for k in label]))

    def told_norm(pre, x, n):
        y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * p.new(pre + "weight", M, at=1.0)
        told = p.linear(pre + "modulate", c, n * M, bias=True)[:, None].split(M, -1)
        return y * (1 + told[1]) + told[0], told[-1]

    for layer in range(2):
        p.pre = f"backbone.layers.{layer}."
        y, gate = told_norm("norm.", s, 3)
        path, out = snake(h, w, layer == 1), torch.zeros_like(y)
        p.pre += "mixer."
        u, z = p.linear("in_proj", y[:, path], 2 * E).chunk(2, -1)
        u = causal_conv(p, "conv1d", u, 4)
        out[:, path] = p.linear("out_proj", s6(s6_parameters(p, "", E), u) * F.silu(z), M)
        s = s + gate * out
    p.pre = "backbone."
    y, _ = told_norm("norm_f.", s, 2)
    p.pre = ""
    y = p.linear("head", y, side * side * C, bias=True)
    y = y.reshape(2, h, w, side, side, C).permute(0, 1, 3, 2, 4, 5).reshape(2, H * W * C)
    return {"x": x, "time": time, "class": label.int(), "y": y}


FRAMES = {"vmrnn": 3}
SIZES = {"bi_mamba_plus": (1, 9), "unet_block": (5, 7), "convnext": (5, 7), "down_conv": (5, 7)}

if __name__ == "__main__":
    for f in [ss2d, tree, vim_v2, vim_v1, plain_mamba, bi_mamba_plus, unet_block, convnext, down_conv, down_merge, down_max, up_shuffle, medmamba, vmrnn, gatedgcn]:
        torch.manual_seed(7)
        H, W = SIZES.get(f.__name__, (4, 6))
        p, x = Params(), torch.randn(2, FRAMES.get(f.__name__, 1) * H * W, M)
        y = f(p, x, H, W)
        out = {k: (v if v.dtype == torch.int32 else v.float()).contiguous() for k, v in {**p, "x": x, "y": y}.items()}
        save_file(out, f"{sys.argv[1]}/{f.__name__}.safetensors")
    torch.manual_seed(7)
    p = Params()
    out = diffusion_model(p, 4, 6)
    save_file({k: (v if v.dtype == torch.int32 else v.float()).contiguous() for k, v in {**p, **out}.items()}, f"{sys.argv[1]}/diffusion.safetensors")
