"""A table of meshes learnt by several processes, each on its part of every step (DistributedDataParallel).

    torchrun --nproc-per-node 2 examples/with_torchrun.py labels.csv -o model.safetensors --epochs 10

Without a table it takes the embedded shapes (datasets/shapes): about three minutes on two cores, half of them preprocessing.
The answer is that of one process that takes the batches of all of them together. Only the batch norm in the read-out of
MeshClassifier would be that of each process by itself: norm="layer" has none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from gaugenet import data, learning

SHAPES = Path(__file__).resolve().parents[1] / "datasets" / "shapes"


def train(net: torch.nn.Module, shapes: data.MeshDataset, *, epochs: int, rate: float, nodes: int) -> None:
    """The loop of docs/data.md; net is the same in all processes, then and afterwards."""
    device = next(net.parameters()).device
    model = DistributedDataParallel(net, [device] if device.type == "cuda" else None)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    loader = shapes.loader(nodes, shuffle=True)  # at most so many nodes in a process: it knows its part by torch.distributed
    task = net.preparation.task
    for _ in range(epochs):
        for batch in loader:
            batch = batch.to(device)
            # DDP takes the mean over processes, which hold different numbers of meshes.
            meshes = torch.tensor(float(batch.num_graphs), device=device)
            distributed.all_reduce(meshes)
            share = batch.num_graphs * distributed.get_world_size() / meshes
            loss = task.loss(model(batch.x, batch), batch) * share
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default=SHAPES)
    parser.add_argument("-o", "--output", default="runs/distributed.safetensors")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--nodes", type=int, default=10000, help="most of a batch in a process")
    args = parser.parse_args()
    # torchrun says in the environment which process this is, and where the others are.
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    first = distributed.get_rank() == 0
    if not first:
        distributed.barrier()  # the first process makes the records, the others read them
    train_shapes, test_shapes = data.MeshDataset.from_table(args.table).split(test=0.25)
    if first:
        distributed.barrier()
    torch.manual_seed(0)
    net = learning.network(train_shapes, channels=8, norm="layer")
    if torch.cuda.is_available():
        net.cuda(distributed.get_rank() % torch.cuda.device_count())
    train_shapes.transform = net.preparation
    train(net, train_shapes, epochs=args.epochs, rate=args.rate, nodes=args.nodes)
    if first:
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        net.save(args.output)
        print(learning.evaluate(net, test_shapes))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
