"""How well texts on a page stand out."""

from __future__ import annotations

from typing import Any

_FAINT = """() => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const over = (colour, opacity, behind) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [...parts] = pen.getImageData(0, 0, 1, 1).data, share = (parts.pop() / 255) * opacity;
        return parts.map((part, at) => part * share + behind[at] * (1 - share));
    };
    const light = (parts) => {
        const [red, green, blue] = parts.map((part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim(), node = texts.currentNode.parentElement;
        if (!text || !node.checkVisibility() || node.closest(":disabled")) continue;
        let [behind, opacity] = [[255, 255, 255], 1];
        const around = [];
        for (let one = node; one; one = one.parentElement) around.unshift(getComputedStyle(one));
        for (const style of around) {
            opacity *= style.opacity;
            behind = over(style.backgroundColor, 1, behind);
        }
        const both = [over(around.at(-1).color, opacity, behind), behind].map(light);
        const contrast = Math.max(...both) / Math.min(...both);
        if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${text}`);
    }
    return found;
}"""


def faint(page: Any) -> list[str]:
    """The texts one sees that stand out too little from what is behind them: less than 4.5 to 1."""
    found: list[str] = page.evaluate(_FAINT)
    return found
