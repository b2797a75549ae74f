"""Diffusion and Poisson solves beside DiffusionNet's code. Writes benchmarks/results/diffusion.md.

    OMP_NUM_THREADS=1 python benchmarks/diffusion.py [--level 5] [--rounds 7]

An icosphere of 10,242 vertices, 128 eigenpairs, 16 channels of each order, float32, one thread, forward and backward, processor
time. The published forms are written anew in plain torch, as the published code computes them: the spectral diffusion by two
dense products, the gradients by sparse matrices, "implicit_dense" by a dense Cholesky factor for every channel.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import scipy.sparse as sparse
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import interleaved, machine
from gaugenet import FieldType, GaugeGraph, geometry, groups, models
from gaugenet.models.meshes.diffusion_net import _tangent_edges
from gaugenet.nn import FieldDiffusion, GaugeConv, PoissonSolve
from gaugenet.nn.surfaces.laplacian import connection_laplacians, eigenbasis, system

OUT = Path(__file__).parent / "results" / "diffusion.md"
SO2 = groups.SO2()
PAIRS = 128
NOTES = (
    "The spectral form of the published code is two dense products, which nothing in plain torch beats: FieldDiffusion is",
    "that, for fields of every order. What is slow there is the rest of the block (sparse gradients) and the implicit form,",
    "which fills a dense matrix for every channel: 16 x 10,242^2 numbers, 6.7 GB, at the larger size; so it is timed at 642.",
)


class PublishedBlock(nn.Module):
    """DiffusionNet's block as published: dense eigenvectors, sparse gradients, complex products, a perceptron."""

    def __init__(self, width: int, vectors: Tensor, values: Tensor, mass: Tensor, gradients: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.time = nn.Parameter(torch.rand(width) * 0.1)
        self.a_re, self.a_im = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.mlp = nn.Sequential(
            nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.operators = vectors, values, mass, gradients

    def diffuse(self, x: Tensor) -> Tensor:
        vectors, values, mass, _ = self.operators
        spectral = vectors.T @ (x * mass[:, None])
        return vectors @ (torch.exp(-values[:, None] * self.time) * spectral)

    def forward(self, x: Tensor) -> Tensor:
        diffused = self.diffuse(x)
        gx, gy = (torch.mm(matrix, diffused) for matrix in self.operators[3])
        a, b = self.a_re(gx) - self.a_im(gy), self.a_re(gy) + self.a_im(gx)
        return x + self.mlp(torch.cat([x, diffused, torch.tanh(gx * a + gy * b)], -1))


def implicit_dense(x: Tensor, time: Tensor, laplacian: Tensor, mass: Tensor) -> Tensor:
    """The published "implicit_dense": (C, V, V) matrices M + t L and their Cholesky factors."""
    matrix = time[:, None, None] * laplacian + torch.diag(mass)
    return torch.cholesky_solve((x * mass[:, None]).T[:, :, None], torch.linalg.cholesky(matrix))[:, :, 0].T


def gradients(graph: GaugeGraph) -> tuple[Tensor, Tensor]:
    """The published gradX and gradY, sparse."""
    (source, target), vector = _tangent_edges(graph)
    count = graph.num_nodes
    moments = vector.new_zeros(count, 2, 2).index_add(0, target, vector[:, :, None] * vector[:, None])
    slope = (torch.linalg.inv(moments)[target] @ vector[:, :, None])[:, :, 0].float()
    index = torch.stack([torch.cat([target, target]), torch.cat([source, target])])
    values = [torch.cat([slope[:, k], -slope[:, k]]) for k in range(2)]
    gx, gy = (torch.sparse_coo_tensor(index, v, (count, count), check_invariants=False).coalesce() for v in values)
    return gx, gy


def trains(function, *tensors: Tensor):
    """One step forth and back."""

    def run() -> None:
        torch.autograd.grad(function(*tensors).sum(), [t for t in tensors if t.requires_grad])

    return run


def steps(layer: nn.Module, x: Tensor, *graph):
    parameters = list(layer.parameters())
    return lambda: torch.autograd.grad(layer(x, *graph).sum(), [x, *parameters])


def spectral_rows(graph: GaugeGraph, rounds: int) -> list[str]:
    channels, nodes = 16, graph.num_nodes
    field = {blocks: FieldType(SO2, blocks) for blocks in ("16x0", "16x0 + 16x1 + 16x2", "80x0")}
    layers = {blocks: FieldDiffusion(type, pairs=PAIRS) for blocks, type in field.items()}
    basis = layers["16x0"].plan(graph).irreps[0].parts[0]
    published = {c: PublishedBlock(c, basis.vectors, basis.values, basis.mass, gradients(graph)) for c in (16, 80)}
    block = models.DiffusionNet(channels, channels, width=channels, blocks=1, dropout=0.0, pairs=PAIRS).block_0
    conv = GaugeConv(field["16x0 + 16x1 + 16x2"], field["16x0 + 16x1 + 16x2"], 2)
    x = {d: torch.randn(nodes, d).requires_grad_() for d in (16, 80)}
    cases = {
        "FieldDiffusion, 16x0": steps(layers["16x0"], x[16], graph),
        "published diffusion alone, 16 channels": lambda: torch.autograd.grad(
            published[16].diffuse(x[16]).sum(), [x[16], published[16].time]
        ),
        "DiffusionNet's block, published form, 16 channels": steps(published[16], x[16]),
        "models.DiffusionNet's block, 16 channels": steps(block, x[16], graph),
        "FieldDiffusion, 16x0 + 16x1 + 16x2": steps(layers["16x0 + 16x1 + 16x2"], x[80], graph),
        "DiffusionNet's block, published form, 80 channels": steps(published[80], x[80]),
        "GaugeConv, 16x0 + 16x1 + 16x2": steps(conv, x[80], graph),
    }
    for run in cases.values():
        run()  # plans, compilation
    return [f"| {name} | {1e3 * s:.1f} |" for name, s in interleaved(cases, rounds, time.process_time).items()]


def implicit_rows(graph: GaugeGraph, small: GaugeGraph, rounds: int) -> list[str]:
    rows, cases = [], {}
    for size, own in (("", graph), (f", {small.num_nodes} vertices", small)):
        for blocks in ("16x0", "16x1"):
            type = FieldType(SO2, blocks)
            x = torch.randn(own.num_nodes, type.dim).requires_grad_()
            cases[f'FieldDiffusion "implicit", {blocks}{size}'] = steps(FieldDiffusion(type, "implicit"), x, own)
            cases[f"PoissonSolve, {blocks}{size}"] = steps(PoissonSolve(type), x, own)
    ((matrix, mass),) = connection_laplacians(small, SO2.irrep(0))
    dense, weight = torch.from_numpy(matrix.toarray()).float(), torch.from_numpy(mass).float()
    x, t = torch.randn(small.num_nodes, 16).requires_grad_(), FieldDiffusion(FieldType(SO2, "16x0")).diffusion_time
    cases[f"published implicit_dense, 16 channels, {small.num_nodes} vertices"] = trains(
        lambda x, t: implicit_dense(x, t, dense, weight), x, t
    )
    for run in cases.values():
        run()
    rows += [f"| {name} | {1e3 * s:.1f} |" for name, s in interleaved(cases, rounds, time.process_time).items()]
    return rows


def once(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def preparation_rows(graph: GaugeGraph) -> list[str]:
    rows = []
    for order in (0, 1, 2):
        irrep, made = SO2.irrep(order), {}

        def assemble(irrep=irrep, made=made) -> None:
            made["parts"] = connection_laplacians(graph, irrep)[0]

        assembly = once(assemble)
        matrix, mass = made["parts"]
        pairs = once(lambda matrix=matrix, mass=mass, irrep=irrep: eigenbasis(matrix, mass, irrep, PAIRS, graph.log))
        factor = once(lambda matrix=matrix, mass=mass: system(matrix, mass, 1.0))
        rows.append(f"| {order} | {assembly:.3f} | {pairs:.2f} | {factor:.2f} |")

    def published() -> None:
        ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(0))
        shifted = sparse.csc_matrix(matrix + 1e-8 * sparse.identity(len(mass)))
        sparse.linalg.eigsh(shifted, k=PAIRS, M=sparse.diags(mass + 1e-8 * mass.mean()), sigma=1e-8)

    rows.append(f"| 0, as the published code asks scipy's eigsh | | {once(published):.2f} | |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=5, help="of the icosphere")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(0)
    double = geometry.icosphere(args.level, rings=2).to_graph()
    graph, small = double.float(), geometry.icosphere(max(args.level - 2, 1), rings=2).to_graph().float()
    head = "| forward and backward | ms |\n|---|---|"
    parts = {
        f"Spectral, {graph.num_nodes} vertices": (head, spectral_rows(graph, args.rounds)),
        f"Systems, {graph.num_nodes} vertices": (head, implicit_rows(graph, small, args.rounds)),
        "Preparation, once for a graph, CPU seconds": (
            f"| order | assembly | {PAIRS} eigenpairs | factor |\n|---|---|---|---|",
            preparation_rows(double),
        ),
    }
    lines = ["# Diffusion and Poisson solves", "", f"`python benchmarks/diffusion.py`, {machine()}."]
    lines += ["float32, one thread, processor time, on a machine with other work.", "", *NOTES, ""]
    for title, (top, rows) in parts.items():
        lines += [f"## {title}", "", top, *rows, ""]
    OUT.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
