"""Remakes the pictures in docs/images with Chromium and the tests' driver of it.

Of a report of `seq2seq compare`, or of the page of `seq2seq serve`:

    python scripts/pictures.py report.html
    python scripts/pictures.py http://127.0.0.1:5000/

The pictures in the repository are of four variants with three seeds each, small and briefly trained:

    seq2seq train -m 'experiment/luong_table=none,general,dot,local_p' seed=1,2,3 data=toy runs=runs/pictures \
        model.embedding=96 model.hidden=128 model.dropout=0.1 training.batch_tokens=700 training.learning_rate=4e-3 \
        training.warmup=40 training.ema=0 training.max_updates=500 training.validate_every=50 training.dev_lines=50
    seq2seq compare runs/pictures --test test --report report.html --sentences 100

and of a recurrent model of Multi30k (experiment=multi30k_rnn), served as `seq2seq serve multi30k=RUN`.
"""

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

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

TEXT = "A young girl in a red dress is playing the guitar on the street."
WORD = 6  # of the translation, which is pointed at
PAGES = {  # file -> width, height, pixels for each px, whether the heat map is unfolded
    "serve.png": (1100, 850, 1.5, True),
    "serve-phone.png": (360, 740, 2, False),
}


def main(source: str) -> None:
    """Write the pictures of a report, or of a server's page."""
    path = find_browser()
    if path is None:
        sys.exit(f"no Chromium: none of {', '.join(NAMES)} is installed, and $CHROMIUM names none")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, Path(profile), WIDTH, HEIGHT)
        browser.scheme("light")
        try:
            write = server_pictures if source.startswith("http") else report_pictures
            write(browser, source)
        finally:
            browser.close()


def report_pictures(browser: Browser, report: str) -> None:
    """The pictures of a report."""
    browser.open(Path(report).resolve())
    browser.js(PREPARE)
    for name, ends in PICTURES.items():
        boxes = f"{list(ends)}.map((id) => document.querySelector(id).getBoundingClientRect())"
        top, bottom = browser.js(f"(([a, b]) => [a.top + scrollY, b.bottom + scrollY])({boxes})")
        area = {"x": 0, "y": top - MARGIN, "width": WIDTH, "height": bottom - top + 2 * MARGIN, "scale": 1}
        take(browser, name, clip=area)


def server_pictures(browser: Browser, url: str) -> None:
    """The pictures of a server's page, on a desktop and on a phone."""
    for name, (width, height, scale, unfolded) in PAGES.items():
        browser.size(width, height, mobile=not unfolded, scale=scale)
        browser.open(url)
        browser.js("byId('source').focus()")
        browser.insert(TEXT)
        browser.until("document.documentElement.dataset.state === 'translated'")
        browser.js(f"(byId('map-details').open = {str(unfolded).lower()}, togglePin(0, {WORD}), byId('source').blur())")
        browser.until(f"{str(unfolded).lower()} === Boolean(document.querySelector('#map canvas'))")
        browser.until("document.getAnimations().length === 0")
        take(browser, name)


def take(browser: Browser, name: str, **options: Any) -> None:
    """Write what the browser shows."""
    made = browser.send("Page.captureScreenshot", format="png", **options)
    (TOP / "docs" / "images" / name).write_bytes(base64.b64decode(made["data"]))


if __name__ == "__main__":
    main(sys.argv[1])
