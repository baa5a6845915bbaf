"""Does a run take the right network? `execute_plan` on small folders of many kinds, each with its verdict and the test.

Every folder is run as `siamese-nbdev run` runs it: the usual recipe, cross-validation over identities where few are set
aside, and the recipe or the frozen backbone that it chooses. The test identities are asked once, at the end: what does
the network in use bring there, compared with the frozen backbone? An interval below zero is a wrong choice.

Without folders the sets are those that come with the project or lie in the folder shared beside it. Others that the
results hold were made from packages of a distribution or of npm: emoji of four makers, one folder per character
(`emoji-datasource-apple`, `-google`, `-twitter`, `-facebook`), icons of one name in seven themes (`gnome`, `oxygen`,
`mate`, `nuoveXT2`, `Faenza`, `elementary-xfce`, `Moka`), and the drawings of `tuxpaint-stamps-default` as they lie.
"""
import json
import shutil
import tempfile
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

from report import finish, options, table

from siamese_nbdev.checks import counted
from siamese_nbdev.choosing import Gain
from siamese_nbdev.pedestrians import make_pedestrians
from siamese_nbdev.pipeline import execute_plan, plan_run

shared = Path(__file__).parents[2] / "shared" / "data"


def own_sets(place: Path) -> dict[str, Path]:
    "Lay out the sets that are here: faces, characters and pedestrians, a few of each."
    people = make_pedestrians("data")
    some = people[people["label"].isin(sorted(people.loc[people["split"] == "test", "label"].unique())[:20])]
    for row in some.to_dict("records"):
        copy(Path(row["path"]).read_bytes(), place / "pedestrians" / row["label"] / Path(row["path"]).name)
    sets = dict(pedestrians=place / "pedestrians")
    archives = dict(
        faces=(shared / "att_faces" / "att_faces.zip", 12, 10),
        characters=(shared / "omniglot" / "images_background_small1.zip", 30, 8),
    )
    for name, (archive, identities, images) in archives.items():
        if archive.exists():
            sets[name] = unpack(archive, place / name, identities, images)
    return sets


def copy(content: bytes, file: Path) -> None:
    "Write a file and the folders above it."
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def unpack(archive: Path, place: Path, identities: int, images: int) -> Path:
    "Unpack some images of some folders, evenly spread over the archive."
    folders: dict[str, list[str]] = {}
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if Path(name).suffix in (".png", ".pgm"):
                folders.setdefault(str(Path(name).parent), []).append(name)
        for folder in sorted(folders)[::max(1, len(folders) // identities)][:identities]:
            for name in folders[folder][:images]:
                copy(files.read(name), place / folder.replace("/", " ") / Path(name).name)
    return place


def run_on(folder: Path, epochs: int | None) -> dict:
    "Run on a folder, and say what was chosen and what the test says of it."
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        # Four parts, asked for: on a busy machine a run may find that too long.
        plan = plan_run(folder, Path(out) / "run", epochs=epochs, folds=4)
        results = execute_plan(plan, say=lambda text: None)
        parts = plan.images.groupby("split")["label"].nunique()
        return dict(
            images=len(plan.images),
            identities=int(plan.images["label"].nunique()),
            aside=int(parts.get("valid", 0)),
            tested=int(parts["test"]),
            frozen=100 * results.scores["frozen"].loc["mean_average_precision", "value"],
            tried={name: asdict(gain) for name, gain in results.tried},
            advice=results.advice,
            use_trained=results.use_trained,
            recipe=results.folder.parent.name if results.folder.parent != plan.out else "usual",
            test=asdict(results.gain_of_training()),
            minutes=(time.perf_counter() - started) / 60,
        )


def row_of(name: str, found: dict) -> list[str]:
    "Write what was found for a set."
    tried = {recipe: in_points(Gain(**gain)) for recipe, gain in found["tried"].items()}
    trained = in_points(Gain(**found["test"]))
    return [
        name,
        f"{found['images']:,} of {found['identities']}",
        f"{found['aside']} and {found['tested']}",
        f"{found['frozen']:.1f}",
        tried.get("usual", "not needed"),
        tried.get("gentle", "not needed"),
        found["recipe"] if found["use_trained"] else "frozen",
        trained if found["use_trained"] else "0",
        f"{found['minutes']:.0f}",
    ]


def in_points(gain: Gain) -> str:
    "Write a gain in points of mAP, with its interval."
    return f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def main():
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="one sub-folder per identity each")
    parser.add_argument("--epochs", type=int, help="passes over the training images; left out, the run chooses")
    parser.add_argument("--kept", type=Path, help="JSON file of finished sets, to go on with")
    chosen = parser.parse_args()
    kept = json.loads(chosen.kept.read_text()) if chosen.kept and chosen.kept.exists() else {}
    place = Path(tempfile.mkdtemp())
    sets = {folder.name.replace("_", " "): folder for folder in chosen.folders} or own_sets(place)
    for name, folder in sets.items():
        if name not in kept:
            kept[name] = run_on(folder, 1 if chosen.quick else chosen.epochs)
            print(*row_of(name, kept[name]), sep=" | ", flush=True)
            if chosen.kept:
                chosen.kept.write_text(json.dumps(kept, indent=1))
    shutil.rmtree(place)
    wrong = [name for name, found in kept.items() if found["use_trained"] and found["test"]["high"] < 0]
    columns = ["set", "images of identities", "valid and test", "frozen mAP", "usual recipe", "gentle recipe"]
    columns += ["in use", "gain on test", "minutes"]
    note = (
        f"{counted(len(kept), 'set')}; the network in use is worse than the frozen backbone beyond chance on "
        f"{len(wrong)}. Points of mAP; the recipes by cross-validation, with 95 % intervals over identities."
    )
    rows = [row_of(name, found) for name, found in kept.items()]
    finish("Which network, on small sets", [note, table(columns, rows)], chosen.out)


if __name__ == "__main__":
    main()
