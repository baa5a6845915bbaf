"""How much memory do all triplets of a batch take? Bytes predicted and measured for the chunked loss, one cube, and a list.

A batch of B embeddings has B x B distances but up to B x B x B triplets. `TripletLoss(mining="all")` promises to stay within `chunk_bytes`; the
naive way holds the whole cube; `all_triplets` lists them, and refuses where the list is too long. The soft margin needs the cube's numbers one
by one, so it shows the chunks at work. Every figure comes from a process of its own: its peak during forward and backward pass, less what it held before.

On Linux the C library keeps freed blocks of a few megabytes for later and may not find them again, which adds to a process without being in
use. So the children are asked to give freed memory back at once (MALLOC_MMAP_THRESHOLD_); the last column shows the same loss without that.
"""
import gc
import json

import torch
import torch.nn.functional as F

from report import device, finish, in_child, options, peak_bytes, table
from siamese_nbdev.loss import TripletLoss, all_triplets, count_triplets, pairwise_distances

ways = ("margin", "soft", "cube", "list")
copies = 4  # float tables of a cube that live at once: gaps, masked gaps, losses, gradient
chunk_bytes = 64_000_000


def batch(classes: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(classes * images, 128), dim=1).to(device()).requires_grad_()
    return embeddings, torch.arange(classes).repeat_interleave(images).to(device())


def loss_of(way: str, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if way == "list":
        anchors, positives, negatives = all_triplets(labels)
        distances = pairwise_distances(embeddings)
        return F.relu(distances[anchors, positives] - distances[anchors, negatives] + 0.3).mean()
    return TripletLoss(0.3, mining="all", reduction="mean", soft=way != "margin", chunk_bytes=10**15 if way == "cube" else chunk_bytes)(embeddings, labels)


def predicted(way: str, labels: torch.Tensor) -> int:
    "Predict the bytes from the batch alone."
    size = len(labels)
    if way == "list": return count_triplets(labels) * 24  # three indices of 8 bytes; gathered distances come on top
    cube = copies * 4 * size**3
    return cube if way == "cube" else min(cube, chunk_bytes)


def child(way: str, classes: int, images: int):
    loss_of(way, *batch(2, 2)).backward()  # loads what a first backward pass loads
    embeddings, labels = batch(classes, images)
    gc.collect()
    if torch.cuda.is_available(): torch.cuda.reset_peak_memory_stats()
    before = peak_bytes(on_gpu=True)
    try: loss_of(way, embeddings, labels).backward()
    except ValueError as error: return print(json.dumps(dict(refused=str(error))))
    print(json.dumps(dict(bytes=peak_bytes(on_gpu=True) - before, gradient=embeddings.grad.double().norm().item())))


def measure(way: str, classes: int, images: int, gives_back: bool = True) -> dict:
    environment = dict(MALLOC_MMAP_THRESHOLD_="1000000") if gives_back else {}
    try: return in_child(__file__, "--child", way, "--shape", classes, images, **environment)
    except RuntimeError as error: return dict(failed=str(error)[-300:])  # out of memory, as a rule


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--child", choices=ways, help="measure one way in this process (the script calls itself so)")
    parser.add_argument("--shape", type=int, nargs=2, help="classes and images of each, for --child")
    chosen = parser.parse_args()
    if chosen.child: return child(chosen.child, *chosen.shape)
    shapes = [(16, 4)] if chosen.quick else [(128, 4), (16, 32), (2, 256)]
    megabytes = lambda count: f"{count / 1e6:,.0f}"
    shown = lambda result: megabytes(result["bytes"]) if "bytes" in result else "refused" if "refused" in result else "out of memory"
    rows, refusals, worst = [], [], 0.0
    for classes, images in shapes:
        _, labels = batch(classes, images)
        results = {way: measure(way, classes, images) for way in ways}
        as_it_comes = max((measure("soft", classes, images, gives_back=False) for _ in range(1 if chosen.quick else 3)), key=lambda result: result.get("bytes", float("inf")))
        rows.append([f"{classes} x {images} = {len(labels)}", f"{count_triplets(labels):,}", megabytes(predicted("soft", labels)), shown(results["margin"]), shown(results["soft"])]
                    + [cell for way in ("cube", "list") for cell in (megabytes(predicted(way, labels)), shown(results[way]))] + [shown(as_it_comes)])
        refusals += [f"`all_triplets` refuses the {classes} x {images} batch: \"{result['refused']}\"" for result in results.values() if "refused" in result]
        for pair in (("soft", "cube"), ("margin", "list")):
            gradients = [results[way]["gradient"] for way in pair if "gradient" in results[way]]
            worst = max(worst, max(gradients) / min(gradients) - 1)
        print(rows[-1], flush=True)
    head = ["batch, P x K", "triplets", "loss over all: promised, MB", "margin, measured", "soft margin, measured", "one cube: predicted, MB", "measured", "a list: predicted, MB", "measured", "soft margin, default allocator"]
    notes = [f"`TripletLoss(mining=\"all\")` promises at most {megabytes(chunk_bytes)} MB (`chunk_bytes`) for its cubes, and holds a few B x B tables besides; one cube is the same soft-margin loss in a single chunk, "
             f"predicted as {copies} tables of B x B x B floats; a list is `all_triplets`, predicted as three indices of 8 bytes a triplet, before any distance is gathered. "
             "Measured is what forward and backward pass add to the peak of a fresh process; last column: the largest of three runs.",
             f"The length of the gradient differs by at most {worst:.0e} of itself between chunks and cube, and between loss and list."]
    finish("Memory of all triplets", [table(head, rows), *notes, *refusals], chosen.out)


if __name__ == "__main__": main()
