"""The web page at `/`: one HTML file with its style and its scripts, which asks nothing but this server."""

from pathlib import Path

from seq2seq.utils.page import SHARED, content_security_policy, filled, joined

PAGE = Path(__file__).parent / "page"
STYLES = (PAGE / "page.css", SHARED / "heatmap.css", PAGE / "attention.css")
SCRIPTS = (  # in order: a script may use those before it
    SHARED / "elements.js",
    SHARED / "words.js",
    SHARED / "heatmap.js",
    PAGE / "theme.js",
    PAGE / "server.js",
    PAGE / "settings.js",
    PAGE / "texts.js",
    PAGE / "attention.js",
    PAGE / "keyboard.js",
    PAGE / "translate.js",
)


def html() -> str:
    """The page."""
    style, script = joined(STYLES), joined(SCRIPTS)
    return "".join(filled(PAGE / "template.html", {"style": lambda: [style], "script": lambda: [script]}))


def headers() -> dict[str, str]:
    """The headers that the page is sent with. It may load nothing, and ask only the server that it is from."""
    policy = content_security_policy(joined(STYLES), joined(SCRIPTS))
    return {
        "Content-Security-Policy": f"{policy}; connect-src 'self'; img-src data:; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
