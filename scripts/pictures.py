"""Remakes the pictures in docs/images from a report of `seq2seq compare`, with Chromium and the tests' driver of it.

    python scripts/pictures.py report.html

The pictures in the repository are of four variants with three seeds each, small and briefly trained:

    seq2seq train -m 'experiment/luong_table=none,general,dot,local_p' seed=1,2,3 data=toy runs=runs/pictures \
        model.embedding=96 model.hidden=128 model.dropout=0.1 training.batch_tokens=700 training.learning_rate=4e-3 \
        training.warmup=40 training.ema=0 training.max_updates=500 training.validate_every=50 training.dev_lines=50
    seq2seq compare runs/pictures --test test --report report.html --sentences 100
"""

import base64
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP)]

from tests.browser import NAMES, Browser, find_browser  # noqa: E402

WIDTH, HEIGHT, MARGIN = 1100, 5000, 12  # px; the whole page is visible
SHOWN = ("general", "local_p")  # variants in the picture of the explorer
PICTURES = {  # file -> the first and the last element in it
    "comparison.png": ("#variant-controls", "#results"),
    "explorer.png": ("#sentence", "#panels"),
}
PREPARE = f"""(async () => {{
    state.shown = new Set([...data.variants.keys()].filter((i) => {list(SHOWN)}.includes(data.variants[i].name)));
    await showSentence(list.matches[0]);
    highlight([...state.shown][0], 2);
    document.querySelector("nav").style.position = "static";
}})()"""


def main(report: Path) -> None:
    """Write every picture."""
    path = find_browser()
    if path is None:
        sys.exit(f"no Chromium: none of {', '.join(NAMES)} is installed, and $CHROMIUM names none")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, Path(profile), WIDTH, HEIGHT)
        browser.scheme("light")
        browser.open(report.resolve())
        browser.js(PREPARE)
        for name, ends in PICTURES.items():
            (TOP / "docs" / "images" / name).write_bytes(picture(browser, *ends))
        browser.close()


def picture(browser: Browser, first: str, last: str) -> bytes:
    """A PNG of the page from the top of one element to the bottom of another."""
    boxes = f"{[first, last]}.map((id) => document.querySelector(id).getBoundingClientRect())"
    top, bottom = browser.js(f"(([a, b]) => [a.top + scrollY, b.bottom + scrollY])({boxes})")
    clip = {"x": 0, "y": top - MARGIN, "width": WIDTH, "height": bottom - top + 2 * MARGIN, "scale": 1}
    made = browser.send("Page.captureScreenshot", format="png", clip=clip)
    return base64.b64decode(made["data"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
