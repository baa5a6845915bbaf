"""Pictures that were damaged at random: read as another decoder reads them, or refused; looking at them never ends."""
import faulthandler
import io
import os
import random
import re
import shutil
import struct
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import torchvision.io
from counting import count
from PIL import Image

from siamese_nbdev.checks import InputError
from siamese_nbdev.data import check_images, read_image

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="other decoders crash, and need a process of their own")


def scene(grey=False):
    "A picture with edges, a slope and some noise."
    rows, columns = np.mgrid[:40, :56]
    pixels = np.stack([rows * 6, columns * 4, (rows // 8 + columns // 8) % 2 * 200], axis=2)
    pixels = (pixels + np.random.default_rng(0).integers(0, 30, pixels.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 1] if grey else pixels)


def saved(picture, kind, **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


bases = {
    "png": saved(scene(), "PNG"),
    "jpg": saved(scene(), "JPEG", quality=90, subsampling=0),
    "gif": saved(scene().quantize(64), "GIF"),
    "bmp": saved(scene(), "BMP"),
    "lzw.tif": saved(scene(), "TIFF", compression="tiff_lzw"),
    "jpeg.tif": saved(scene(), "TIFF", compression="jpeg"),
    "fax.tif": saved(scene(grey=True).convert("1"), "TIFF", compression="group4"),
    "webp": saved(scene(), "WEBP", lossless=True),
    "ppm": saved(scene(), "PPM"),
    "pgm": saved(scene(grey=True), "PPM"),
}


def mutated(content, rng):
    "Damage a file in one to four places."
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        # Half of the damage is done to the head, where all that matters is said.
        place = rng.randrange(min(len(content), 120) if rng.random() < 0.5 else len(content)) if content else 0
        span = rng.randrange(1, 40)
        how = rng.randrange(7)
        if not content: break
        if how == 0: content[place] ^= 1 << rng.randrange(8)
        elif how == 1: content[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif how == 2: del content[place:]
        elif how == 3: content[place:place + span] = bytes(len(content[place:place + span]))
        elif how == 4: del content[place:place + span]
        elif how == 5: content[place:place] = rng.randbytes(span)
        else:
            number = rng.choice((0, 1, 2**16, 2**31, 2**32 - 1))
            content[place:place + 4] = struct.pack(rng.choice("<>") + "I", number)
    return bytes(content)


def by_torchvision(content):
    "Decode by libpng, libjpeg, libwebp and giflib, as torchvision has them."
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    pixels = torchvision.io.decode_image(data, mode="RGB", apply_exif_orientation=True)
    return (pixels[0] if pixels.ndim == 4 else pixels).permute(1, 2, 0).numpy()


def by_hand(content):
    "Decode a portable picture of 8 bits, or a BMP of 24, by what their descriptions say."
    if content[:2] == b"BM":
        start, size, width, height, planes, bits, packed = struct.unpack_from("<IIiiHHI", content, 10)
        is_plain = start >= 54 and (size, planes, bits, packed) == (40, 1, 24, 0)
        if not is_plain or not 0 < width < 9999 or not 0 < abs(height) < 9999:
            raise ValueError("another kind of BMP")
        step = -(-width * 3 // 4) * 4
        rows = np.frombuffer(content, np.uint8, step * abs(height), start).reshape(abs(height), step)
        pixels = rows[:, :width * 3].reshape(abs(height), width, 3)[:, :, ::-1]
        return pixels[::-1] if height > 0 else pixels
    head = re.match(rb"P([56])\s+(\d+)\s+(\d+)\s+255\s", content)
    bands = 3 if head[1] == b"6" else 1
    width, height = int(head[2]), int(head[3])
    pixels = np.frombuffer(content, np.uint8, width * height * bands, head.end()).reshape(height, width, bands)
    return np.repeat(pixels, 3 // bands, axis=2)


def by_tags(content):
    "Decode a TIFF of 8 bits by what tifffile says of its tags: strips of LZW by hand, those of JPEG by torchvision."
    page = tifffile.TiffFile(io.BytesIO(content)).pages[0]
    tags = {tag.code: tag.value for tag in page.tags}
    as_usual = {258: (8, 8, 8), 277: 3, 284: 1, 317: 1, 266: 1, 274: 1}
    if any(tags.get(tag, value) != value for tag, value in as_usual.items()) or {322, 338, 340, 341} & set(tags):
        raise ValueError("another kind of TIFF")
    strips = [content[start:start + size] for start, size in zip(page.dataoffsets, page.databytecounts)]
    width, height, each = page.imagewidth, page.imagelength, page.rowsperstrip
    if (tags[259], tags[262]) == (5, 2):
        rows = [by_lzw(strip, width * 3 * min(each, height - each * n)) for n, strip in enumerate(strips)]
    elif (tags[259], tags[262]) == (7, 2):
        whole = [tags[347][:-2] + strip[2:] for strip in strips]  # tables, then what follows the mark of the beginning
        rows = [by_torchvision(strip).tobytes() for strip in whole]
    else:
        raise ValueError("another kind of TIFF")
    return np.frombuffer(b"".join(rows), np.uint8).reshape(height, width, 3)


def by_lzw(packed, size):
    "Unpack LZW as TIFF has it: codes of 9 to 12 bits, the first bit first, each width left one code early."
    bits = "".join(f"{byte:08b}" for byte in packed)
    words = last = None
    place, width, found = 0, 9, b""
    while len(found) < size:
        code = int(bits[place:place + width], 2)
        place += width
        if code == 256:
            words, last, width = [bytes([n]) for n in range(256)] + [b"", b""], None, 9
            continue
        word = words[code] if code < len(words) else last + last[:1]
        if not word or code > len(words): raise ValueError("no such word")
        if last: words.append(last + word[:1])
        last = word
        found += word
        width = min(12, (len(words) + 1).bit_length())
    return found[:size]


def reference(name, content):
    "What another decoder sees; None where it refuses, or where there is none (for fax)."
    hand = dict(bmp=by_hand, ppm=by_hand, pgm=by_hand) | {"lzw.tif": by_tags, "jpeg.tif": by_tags}
    if name == "fax.tif": return None
    return apart(hand.get(name, by_torchvision), content)


def apart(decode, content):
    "Decode in a process of its own, for other decoders crash; None where they refuse or crash."
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        faulthandler.disable()  # of a crash nothing needs to be said
        os.close(reader)
        try:
            pixels = np.ascontiguousarray(decode(content))
            with open(writer, "wb") as pipe:
                pipe.write(struct.pack("<3I", *pixels.shape) + pixels.tobytes())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        sent = pipe.read()
    os.waitpid(child, 0)
    if len(sent) < 12: return None
    return np.frombuffer(sent, np.uint8, offset=12).reshape(struct.unpack_from("<3I", sent))


def verdict(name, content, file):
    "Read a damaged file, and say what became of it."
    file.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = read_image(file)
    except InputError as error:
        assert str(file) in str(error)
        return "refused"
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    other = reference(name, content)
    if other is None: return "opened here only"
    if other.shape != pixels.shape: return f"differs: {pixels.shape} here, {other.shape} elsewhere"
    gap = np.abs(other.astype(int) - pixels).mean()
    # Decoders of JPEG round differently; giflib leaves points that damaged data do not reach as memory was.
    allowed = dict(jpg=2, gif=0.5).get(name, 2 if name == "jpeg.tif" else 0)
    return "same" if gap <= allowed else f"differs: by {gap:.1f} on average"


def fuzz(folder, each):
    "Damage every base so many times; returns how often what became of it, and the cases that differ."
    counts = {name: Counter() for name in bases}
    odd = []
    for name, base in bases.items():
        (folder / name).mkdir()
        for number in range(each):
            content = mutated(base, random.Random(f"{name} {number}"))
            file = folder / name / f"{number}.{name}"
            found = verdict(name, content, file)
            counts[name][found.split(":")[0]] += 1
            if found.startswith("differs"):
                odd.append((name, number, found))
        manifest = pd.DataFrame(dict(path=[str(path) for path in sorted((folder / name).iterdir())]))
        assert set(check_images(manifest, progress=False)["path"]) <= set(manifest["path"])
        shutil.rmtree(folder / name)
    return pd.DataFrame(counts).T.fillna(0).astype(int), odd


def test_undamaged(tmp_path):
    for name, base in bases.items():
        expected = "opened here only" if name == "fax.tif" else "same"
        assert verdict(name, base, tmp_path / f"whole.{name}") == expected, name


def test_damaged_pictures(tmp_path):
    _, odd = fuzz(tmp_path, 25)
    assert not odd


@pytest.mark.slow
def test_many_damaged_pictures(tmp_path):
    counts, odd = fuzz(tmp_path, 600)
    for name, row in counts.iterrows():
        count(f"picture {name}", times=int(row.sum()), **row.to_dict())
    print(*odd, sep="\n")
    assert counts.to_numpy().sum() >= 5_000 and not odd
