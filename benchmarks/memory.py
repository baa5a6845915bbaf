"""How much memory do all triplets of a batch take? Bytes predicted and measured for chunked loss, one cube, and a list.

A batch of B embeddings has B x B distances but up to B x B x B triplets. `TripletLoss(mining="all")` promises to stay
within `chunk_bytes`; the naive way holds the whole cube; `all_triplets` lists them, and refuses where the list is too
long. The soft margin needs the cube's numbers one by one, so it shows the chunks at work. Every figure comes from a
process of its own: its peak during forward and backward pass, less what it held before.

On Linux the C library keeps freed blocks of a few megabytes for later and may not find them again, which adds to a
process without being in use. So the children are asked to give freed memory back at once (MALLOC_MMAP_THRESHOLD_); the
last column shows the same loss without that.
"""
import gc
import json

import torch
import torch.nn.functional as F
from report import device, finish, in_child, options, peak_bytes, table

from siamese_nbdev.checks import InputError
from siamese_nbdev.loss import TripletLoss, all_triplets, count_triplets, pairwise_distances

ways = ("margin", "soft", "cube", "list")
copies = 4  # float tables of a cube that live at once: gaps, masked gaps, losses, gradient
chunk_bytes = 64_000_000
no_chunks = 10**15
head = [
    "batch, P x K",
    "triplets",
    "loss over all: promised, MB",
    "margin, measured",
    "soft margin, measured",
    "one cube: predicted, MB",
    "measured",
    "a list: predicted, MB",
    "measured",
    "soft margin, default allocator",
]


def batch(classes: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    "Draw embeddings and make their labels."
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(classes * images, 128), dim=1).to(device()).requires_grad_()
    labels = torch.arange(classes).repeat_interleave(images).to(device())
    return embeddings, labels


def loss_of(way: str, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    "Compute the loss over all triplets in one of the ways."
    if way == "list":
        anchors, positives, negatives = all_triplets(labels)
        distances = pairwise_distances(embeddings)
        return F.relu(distances[anchors, positives] - distances[anchors, negatives] + 0.3).mean()
    size = no_chunks if way == "cube" else chunk_bytes
    loss = TripletLoss(0.3, mining="all", reduction="mean", soft=way != "margin", chunk_bytes=size)
    return loss(embeddings, labels)


def predicted(way: str, labels: torch.Tensor) -> int:
    "Predict the bytes from the batch alone."
    size = len(labels)
    if way == "list":
        return count_triplets(labels) * 24  # three indices of 8 bytes; gathered distances come on top
    cube = copies * 4 * size**3
    return cube if way == "cube" else min(cube, chunk_bytes)


def child(way: str, classes: int, images: int):
    "Measure one way in this process, and print the result as JSON."
    loss_of(way, *batch(2, 2)).backward()  # loads what a first backward pass loads
    embeddings, labels = batch(classes, images)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    before = peak_bytes(on_gpu=True)
    try:
        loss_of(way, embeddings, labels).backward()
    except InputError as error:
        print(json.dumps(dict(refused=str(error))))
        return
    gradient = embeddings.grad.double().norm().item()
    print(json.dumps(dict(bytes=peak_bytes(on_gpu=True) - before, gradient=gradient)))


def measure(way: str, classes: int, images: int, gives_back: bool = True) -> dict:
    "Measure one way in a fresh process."
    environment = dict(MALLOC_MMAP_THRESHOLD_="1000000") if gives_back else {}
    try:
        return in_child(__file__, "--child", way, "--shape", classes, images, **environment)
    except RuntimeError as error:  # out of memory, as a rule
        return dict(failed=str(error)[-300:])


def measure_as_it_comes(classes: int, images: int, runs: int) -> dict:
    "Measure the soft margin with the default allocator, and return the run that held most."
    results = [measure("soft", classes, images, gives_back=False) for _ in range(runs)]
    return max(results, key=lambda result: result.get("bytes", float("inf")))


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"


def shown(result: dict) -> str:
    "Write what a way took, or why there is no number."
    if "bytes" in result:
        return megabytes(result["bytes"])
    return "refused" if "refused" in result else "out of memory"


def row_of(classes: int, images: int, results: dict, as_it_comes: dict) -> list[str]:
    "Set the results of one batch into the columns of the table."
    _, labels = batch(classes, images)
    return [
        f"{classes} x {images} = {len(labels)}",
        f"{count_triplets(labels):,}",
        megabytes(predicted("soft", labels)),
        shown(results["margin"]),
        shown(results["soft"]),
        megabytes(predicted("cube", labels)),
        shown(results["cube"]),
        megabytes(predicted("list", labels)),
        shown(results["list"]),
        shown(as_it_comes),
    ]


def largest_difference(results: dict) -> float:
    "Compare the lengths of gradients that must be the same, of chunks and cube, and of loss and list."
    worst = 0.0
    for pair in (("soft", "cube"), ("margin", "list")):
        gradients = [results[way]["gradient"] for way in pair if "gradient" in results[way]]
        if gradients:
            worst = max(worst, max(gradients) / min(gradients) - 1)
    return worst


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--child", choices=ways, help="measure one way in this process (the script calls itself so)")
    parser.add_argument("--shape", type=int, nargs=2, help="classes and images of each, for --child")
    chosen = parser.parse_args()
    if chosen.child:
        return child(chosen.child, *chosen.shape)
    shapes = [(16, 4)] if chosen.quick else [(128, 4), (16, 32), (2, 256)]
    rows = []
    refusals = []
    worst = 0.0
    for classes, images in shapes:
        results = {way: measure(way, classes, images) for way in ways}
        as_it_comes = measure_as_it_comes(classes, images, runs=1 if chosen.quick else 3)
        rows.append(row_of(classes, images, results, as_it_comes))
        for result in results.values():
            if "refused" in result:
                refusals.append(f"`all_triplets` refuses the {classes} x {images} batch: \"{result['refused']}\"")
        worst = max(worst, largest_difference(results))
        print(rows[-1], flush=True)
    notes = [
        f"`TripletLoss(mining=\"all\")` promises at most {megabytes(chunk_bytes)} MB (`chunk_bytes`) for its cubes, "
        "and holds a few B x B tables besides; one cube is the same soft-margin loss in a single chunk, predicted as "
        f"{copies} tables of B x B x B floats; a list is `all_triplets`, predicted as three indices of 8 bytes a "
        "triplet, before any distance is gathered. Measured is what forward and backward pass add to the peak of a "
        "fresh process; last column: the largest of three runs.",
        f"The length of the gradient differs by at most {worst:.0e} of itself between chunks and cube, and between "
        "loss and list.",
    ]
    finish("Memory of all triplets", [table(head, rows), *notes, *refusals], chosen.out)


if __name__ == "__main__":
    main()
