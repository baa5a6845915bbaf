"""Write the pairs into the figure to play with of 08_verification: `python tools/figures.py`.

They are pairs of `valid` people with the distances of the network that the pages share, drawn with a fixed seed. Run it
after that network was trained again, and then `python tools/diagrams verification_threshold` for the still picture.
"""
import re
from pathlib import Path

import pandas as pd

from siamese_nbdev.embeddings import embed_images
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.training import demo_model
from siamese_nbdev.verification import verification_pairs

top = Path(__file__).resolve().parent.parent
figure = top / "nbs" / "figures" / "threshold.js"
wanted = {True: 120, False: 240}  # pairs of one person, and of two people
between = re.compile(r"(// stored pairs: begin\n).*?(  // stored pairs: end\n)", re.S)


def drawn_pairs() -> pd.DataFrame:
    "Draw pairs of both kinds and sort them by distance."
    people = make_pedestrians(str(top / "data"))
    valid = people[people["split"] == "valid"].reset_index(drop=True)
    pairs = verification_pairs(embed_images(demo_model(str(top)), valid, progress=False))
    parts = [pairs[pairs["is_same"] == kind].sample(count, random_state=0) for kind, count in wanted.items()]
    return pd.concat(parts).sort_values(["distance", "path", "other"])


def written(pairs: pd.DataFrame) -> str:
    "Write pairs as rows of JavaScript: thousandths of the distance, and both people, eight pairs a line."
    rows = [
        f"[{round(1000 * distance)}, {int(first)}, {int(second)}]"
        for distance, first, second in zip(pairs["distance"], pairs["label"], pairs["other_label"], strict=True)
    ]
    lines = [f"    {', '.join(rows[start:start + 8])}," for start in range(0, len(rows), 8)]
    return "  const stored = [\n" + "\n".join(lines) + "\n  ];\n"


def main() -> None:
    text = figure.read_text(encoding="utf-8")
    fresh = between.sub(lambda found: found[1] + written(drawn_pairs()) + found[2], text)
    figure.write_text(fresh, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
