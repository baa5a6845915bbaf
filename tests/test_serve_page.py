"The page to drop pictures into, in a browser: search, threshold, compare, add, take out, by keyboard, on a phone."
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playing import browsers
from serving import make_run, photo
from test_server import Served, secret

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
browser = next((found for found in map(shutil.which, browsers) if found), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser is None, reason="no Chromium or Chrome is installed")]
drop = """([selector, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
  const target = selector ? document.querySelector(selector) : document.body;
  for (const name of ["dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
paste = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
  dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
}"""


@pytest.fixture(scope="module")
def chromium():
    "A browser."
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def run(tmp_path):
    "A run to be served, and changed."
    return make_run(tmp_path)


def sent(content, name="a.png"):
    "Describe a file that is chosen."
    return dict(name=name, mimeType="image/png", buffer=content)


class Seen:
    "A page in a browser, and everything that it asked for or complained about."
    def __init__(self, chromium, served, width=1280, scheme="light", path="/"):
        self.context = chromium.new_context(viewport=dict(width=width, height=900), color_scheme=scheme)
        self.page = self.context.new_page()
        self.host = urlsplit(served.address).netloc
        self.elsewhere = []
        self.errors = []
        self.page.on("request", self.note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if "Policy" in said.text else None)
        self.page.goto(served.address + path)

    def __enter__(self):
        self.until("document.getElementById('answered').textContent || !document.forms[0].hidden")
        return self

    def __exit__(self, *error):
        assert error[0] or (self.elsewhere, self.errors) == ([], [])
        self.context.close()

    def note(self, request):
        address = urlsplit(request.url)
        if address.scheme not in ("blob", "data") and address.netloc != self.host:
            self.elsewhere.append(request.url)

    def ask(self, *contents):
        "Choose pictures to search with, and wait for the answer."
        self.page.set_input_files("#files", [sent(content, f"{number}.png") for number, content in enumerate(contents)])
        self.page.wait_for_selector("#hits .card[data-distance]")

    def until(self, expression):
        "Wait until something holds; the page's policy lets nobody evaluate texts in it, so this looks from outside."
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {expression}")

    def text(self, selector):
        return self.page.inner_text(selector)

    def labels(self, selector="#hits .label"):
        return self.page.locator(selector).all_inner_texts()

    def button(self, name, exact=True):
        return self.page.get_by_role("button", name=name, exact=exact)

    def is_wider_than_its_window(self):
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_search_threshold_and_filters(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        assert "24 pictures" in seen.text("#collection") and "closest of 24 pictures" in seen.text("#nothing")
        seen.ask(photo("ann", 9))
        assert seen.labels()[:4] == ["ann"] * 4 and "4 of these 24 are near enough" in seen.text("#verdict")
        assert seen.page.locator(".card.near").count() == 4 and seen.page.locator(".cut").count() == 1
        assert "90 % of 24 images found their own identity" in seen.text("#rates")
        assert "embedding" in seen.text("#answered") and "ms" in seen.text("#answered")
        seen.page.locator("#limit").focus()
        seen.page.keyboard.press("Home")
        assert seen.text("#verdict").startswith("Nobody of these.") and "never measured" in seen.text("#rates")
        seen.page.keyboard.press("End")
        assert "All of these 24 are near enough" in seen.text("#verdict")
        seen.button("same pair", exact=False).click()
        assert "95 % interval 0.20% to 3.00%" in seen.text("#rates")
        seen.button("in the collection", exact=False).click()
        assert "4 of these" in seen.text("#verdict")
        seen.page.get_by_label("camera").first.select_option(label="2")
        seen.until("document.querySelectorAll('#hits .card[data-distance]').length === 12")
        assert set(seen.labels("#hits .more")) == {"camera 2"}
        images = seen.page.locator("#hits img")
        seen.until("[...document.querySelectorAll('#hits img')].every((image) => image.naturalWidth)")
        assert images.count() == 12


def test_strangers_several_drop_and_paste(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        seen.ask(photo("zoe"))
        assert seen.text("#verdict").startswith("Nobody of these.")
        seen.ask(photo("bob", 9), photo("cid", 9))
        assert seen.labels()[0] == "bob" and seen.page.locator("#strip button").count() == 2
        seen.page.locator("#strip button").nth(1).click()
        assert seen.labels()[0] == "cid"
        seen.page.evaluate(drop, [None, list(photo("dot", 9))])
        seen.until("document.querySelector('#hits .label')?.textContent === 'dot'")
        seen.page.evaluate(paste, list(photo("eve", 9)))
        seen.until("document.querySelector('#hits .label')?.textContent === 'eve'")


def test_errors_are_sentences(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        seen.page.set_input_files("#files", dict(name="a.svg", mimeType="image/svg+xml", buffer=b"<svg onload='x()'/>"))
        seen.page.wait_for_selector("#wrong:not([hidden])")
        assert "Expected a picture that can be read" in seen.text("#wrong") and "/" not in seen.text("#wrong")
        seen.page.set_input_files("#files", [sent(photo())] * 9)
        seen.until("document.getElementById('wrong').textContent.includes('at most 8')")
        seen.ask(photo("ann"))
        assert not seen.page.locator("#wrong").is_visible()
        served.process.kill()
        served.process.wait()
        seen.page.set_input_files("#files", sent(photo("bob")))
        seen.until("document.getElementById('wrong').textContent.includes('still running')")


def test_compare_and_its_map(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        seen.ask(photo("ann", 9))
        seen.button("Compare with ann").first.click()
        seen.page.wait_for_selector("#alike:not([hidden])")
        assert seen.text("#same").startswith("The same.") and "95 % interval" in seen.text("#same")
        assert "exactly" in seen.text("#alike-words")
        painted = "(id) => new Set(document.getElementById(id).getContext('2d').getImageData(0, 0, 64, 64).data).size"
        assert all(seen.page.evaluate(painted, f"places-{side}") > 3 for side in (0, 1))
        seen.page.locator("#places-1").focus()
        seen.page.keyboard.press("ArrowRight")
        assert "of the second adds" in seen.text("#place-words")
        seen.page.keyboard.press("Escape")
        assert seen.text("#place-words") == ""
        seen.page.locator("#places-0").hover()
        assert "of the first adds" in seen.text("#place-words")
        seen.page.set_input_files("#slot-1 input", sent(photo("zoe")))
        seen.until("document.getElementById('same').textContent.startsWith('Different.')")


def test_add_and_take_out(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        seen.ask(photo("gus"))
        seen.button("Add to the collection").click()
        seen.page.locator("#add-fields input[data-column=label]").fill("gus <b>")
        seen.button("Add").click()
        seen.until("document.getElementById('toast-words').textContent === '1 picture added.'")
        seen.until("document.querySelector('#list .label')?.textContent === 'gus <b>'")
        assert "25 pictures" in seen.text("#collection")
        seen.button("Undo").click()
        seen.until("document.getElementById('toast-words').textContent === 'Taken out again.'")
        seen.until("document.querySelector('#list .label')?.textContent === 'flo'")
        before = seen.labels("#list .label")
        seen.page.locator("#list button", has_text="Take out").first.click()
        seen.until("document.getElementById('collection').textContent.includes('23 pictures')")
        assert seen.labels("#list .label") == before[1:]
        seen.button("Undo").click()
        seen.until("document.getElementById('toast-words').textContent === 'It is back.'")
        assert seen.labels("#list .label") == before and "24 pictures" in seen.text("#collection")
    with Served(run, "--read-only") as served, Seen(chromium, served, path="/#pictures") as seen:
        seen.page.wait_for_selector("#list .card")
        assert seen.page.locator("#adding").is_hidden() and seen.page.locator("#read-only").is_visible()
        assert seen.page.locator("#list button", has_text="Take out").count() == 0


def test_a_token_is_asked_for(chromium, run):
    with Served(run, "--token", secret) as served:
        with Seen(chromium, served) as seen:
            seen.page.wait_for_selector("#entrance:not([hidden])")
            assert seen.page.locator("#search").is_hidden()
            seen.page.get_by_label("Token").fill("another token than that")
            seen.button("Enter").click()
            seen.page.wait_for_selector("#wrong:not([hidden])")
            seen.page.get_by_label("Token").fill(secret)
            seen.button("Enter").click()
            seen.page.wait_for_selector("#search:not([hidden])")
            seen.ask(photo("ann", 9))
            seen.until("[...document.querySelectorAll('#hits img')].every((image) => image.naturalWidth)")
        with Seen(chromium, served, path=f"/#token={secret.replace(' ', '%20')}") as seen:
            seen.page.wait_for_selector("#search:not([hidden])")
            assert secret.split()[0] not in urlsplit(seen.page.url).fragment


def test_everything_by_keyboard(chromium, run):
    with Served(run) as served, Seen(chromium, served) as seen:
        assert seen.page.evaluate(reachable, seen_by_tab(seen)) == []
        seen.ask(photo("ann", 9))
        assert seen.page.evaluate(reachable, seen_by_tab(seen)) == []
        seen.button("Compare with ann").first.focus()
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("#alike:not([hidden])")
        assert seen.page.evaluate("document.activeElement.id") == "compare-title"
        assert seen.page.evaluate(reachable, seen_by_tab(seen)) == []
        seen.button("Collection").focus()
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("#list .card")
        assert seen.page.evaluate(reachable, seen_by_tab(seen)) == []


def seen_by_tab(seen):
    "Press the tab key until it comes round; returns the numbers of the elements that got the focus, visibly."
    seen.page.evaluate("window.order = [...document.querySelectorAll('*')]; document.activeElement.blur(); 0")
    found = set()
    for _ in range(200):
        seen.page.keyboard.press("Tab")
        number, is_shown = seen.page.evaluate(focused)
        if number in found:
            break
        if number < 0:  # the browser's own buttons come in between
            continue
        assert is_shown, f"the focus on element {number} cannot be seen"
        found.add(number)
    return sorted(found)


focused = """() => {
  const element = document.activeElement;
  const frame = element.closest(".drop") || element;
  const style = getComputedStyle(frame);
  const isShown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [element === document.body ? -1 : window.order.indexOf(element), isShown];
}"""
reachable = """(numbers) => [...document.querySelectorAll("button, a, input, select, canvas")]
  .filter((element) => element.checkVisibility() && !element.disabled)
  .filter((element) => !numbers.includes(window.order.indexOf(element)))
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(chromium, run, scheme):
    with Served(run) as served, Seen(chromium, served, width=390, scheme=scheme) as seen:
        assert not seen.is_wider_than_its_window()
        seen.ask(photo("ann", 9))
        assert not seen.is_wider_than_its_window()
        seen.button("Compare with ann").first.click()
        seen.page.wait_for_selector("#alike:not([hidden])")
        assert not seen.is_wider_than_its_window()
        seen.button("Collection").click()
        seen.page.wait_for_selector("#list .card")
        assert not seen.is_wider_than_its_window()
        small = """() => [...document.querySelectorAll("button, select, input[type=range]")]
          .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 24).length"""
        assert seen.page.evaluate(small) == 0


def axe_file():
    "Find axe, the tool that looks for barriers: in a package that has it, or where SIAMESE_NBDEV_AXE says."
    if named := os.environ.get("SIAMESE_NBDEV_AXE"):
        return Path(named)
    found = find_spec("axe_playwright_python") or find_spec("axe_core_python")
    return next(Path(found.submodule_search_locations[0]).rglob("axe*.js"), None) if found else None


@pytest.mark.skipif(axe_file() is None, reason="axe is not here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barriers(chromium, run, scheme):
    axe = axe_file().read_text()
    with Served(run) as served, Seen(chromium, served, scheme=scheme) as seen:
        looks = {"empty": lambda: None, "found": lambda: seen.ask(photo("ann", 9))}
        looks["nobody"] = lambda: seen.ask(photo("zoe"), photo("bob"))
        looks["compared"] = lambda: compare_first(seen)
        looks["collection"] = lambda: (seen.button("Collection").click(), seen.page.wait_for_selector("#list .card"))
        for name, look in looks.items():
            look()
            seen.page.wait_for_timeout(300)
            seen.page.evaluate(axe)
            found = seen.page.evaluate("axe.run()")["violations"]
            barriers = [(one["id"], [node["html"][:100] for node in one["nodes"]][:3]) for one in found]
            assert barriers == [], (name, barriers)


def compare_first(seen):
    "Compare the picture that asked with the closest one."
    seen.button("Compare with", exact=False).first.click()
    seen.page.wait_for_selector("#alike:not([hidden])")
