"""A table of meshes learnt under PyTorch Lightning: its checkpoints, loggers and devices around a network of gaugenet.

    pip install 'gaugenet[lightning]'
    python examples/with_lightning.py labels.csv -o model.safetensors --epochs 10

Without a table it takes the embedded shapes (datasets/shapes): about five minutes on two cores, half of them preprocessing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pytorch_lightning as lightning
import torch

from gaugenet import data, learning

SHAPES = Path(__file__).resolve().parents[1] / "datasets" / "shapes"


class Shapes(lightning.LightningDataModule):
    """Loaders with a budget of nodes; made when the processes know their ranks, and so each with its part."""

    def __init__(self, train: data.MeshDataset, test: data.MeshDataset, nodes: int = 10000) -> None:
        super().__init__()
        self.train, self.test, self.nodes = train, test, nodes

    def train_dataloader(self):
        return self.train.loader(self.nodes, shuffle=True)

    def val_dataloader(self):
        return self.test.loader(self.nodes)


class Learner(lightning.LightningModule):
    """A network with its preparation: the loss is that of the task."""

    def __init__(self, net: torch.nn.Module, rate: float = 3e-3) -> None:
        super().__init__()
        self.net, self.rate = net, rate

    def training_step(self, batch, index):
        loss = self.net.preparation.task.loss(self.net(batch.x, batch), batch)
        self.log("loss", loss, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch, index):
        loss = self.net.preparation.task.loss(self.net(batch.x, batch), batch)
        self.log("validation", loss, batch_size=batch.num_graphs, sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.rate)


def trainer(**options) -> lightning.Trainer:
    """Samplers are left as they are: they share the batches out themselves."""
    return lightning.Trainer(use_distributed_sampler=False, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default=SHAPES)
    parser.add_argument("-o", "--output", default="runs/lightning.safetensors")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    train, test = data.MeshDataset.from_table(args.table).split(test=0.25)
    net = learning.network(train, channels=8)
    train.transform = test.transform = net.preparation
    trainer(max_epochs=args.epochs, default_root_dir="runs/lightning").fit(Learner(net), Shapes(train, test))
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    net.save(args.output)
    print(learning.evaluate(net, test))


if __name__ == "__main__":
    main()
