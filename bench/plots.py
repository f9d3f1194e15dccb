# SPDX-License-Identifier: MIT
"""Bar charts as SVG: panels beside and below each other, one bar for each peer, with its spread."""

from xml.sax.saxutils import escape

Width, Columns, Margin, RowHeight, LabelWidth = 920, 2, 28, 21, 158
Ours, OursPale, Theirs, Limit, Text, Pale = "#0b7285", "#66b2c2", "#b4bcc4", "#dfe4e8", "#212529", "#6c757d"
Font = "font-family='Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif'"


class Bar:
    def __init__(self, label, value, low=None, high=None, text=None):
        self.label, self.value = label, value
        self.low, self.high = value if low is None else low, value if high is None else high
        self.text = text


class Panel:
    """A title, what the figures are, and the bars."""

    def __init__(self, title, unit, bars, end=None):
        self.title, self.unit, self.bars = title, unit, bars
        self.end = end or scale_end(bars)

    def height(self):
        return 62 + RowHeight * len(self.bars)


def color(label):
    if label == "proxyd":
        return Ours
    if label.startswith("proxyd"):
        return OursPale
    return Limit if label == "direct" else Theirs


def short(value):
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def scale_end(bars):
    """Where the scale ends: one or two that are far beyond all others are cut off, and marked."""
    values = sorted((bar.value for bar in bars), reverse=True)
    others = sorted((bar.value for bar in bars if color(bar.label) == Theirs), reverse=True)
    end = values[0]
    for number, value in enumerate(others[:2]):
        if len(others) >= number + 3 and value > 2.5 * others[number + 1] > 0:
            end = 1.4 * others[number + 1]
    return max(end, max((bar.value for bar in bars if color(bar.label) != Theirs), default=0)) or 1


def draw_panel(panel, left, top, width):
    end = panel.end
    first = left + LabelWidth
    room = width - LabelWidth - 70
    parts = [f"<text x='{left}' y='{top + 18}' font-size='15' font-weight='600' fill='{Text}'>{escape(panel.title)}</text>",
             f"<text x='{left}' y='{top + 36}' font-size='12' fill='{Pale}'>{escape(panel.unit)}</text>",
             f"<line x1='{first}' y1='{top + 46}' x2='{first}' y2='{top + 48 + RowHeight * len(panel.bars)}' stroke='{Pale}' stroke-width='1'/>"]
    for number, bar in enumerate(panel.bars):
        y = top + 48 + RowHeight * number
        is_cut = bar.value > end
        length = max(0.0, min(bar.value, end) / end * room)
        weight = " font-weight='600'" if bar.label == "proxyd" else ""
        parts.append(f"<text x='{first - 8}' y='{y + 14}' font-size='12.5' text-anchor='end' fill='{Text}'{weight}>{escape(bar.label)}</text>")
        if length > 0:
            parts.append(f"<rect x='{first}' y='{y + 2}' width='{max(length, 1):.1f}' height='{RowHeight - 6}' rx='1.5' fill='{color(bar.label)}'/>")
        if is_cut:
            x = first + length - 16
            parts.append(f"<path d='M{x:.1f} {y} l5 {RowHeight - 2} M{x + 5:.1f} {y} l5 {RowHeight - 2}' stroke='#fff' stroke-width='2.5'/>")
        elif bar.high > max(bar.low, 0):
            x1, x2 = first + max(0, min(bar.low, end)) / end * room, first + min(bar.high, end * 1.05) / end * room
            middle = y + RowHeight / 2 - 1
            parts.append(f"<path d='M{x1:.1f} {middle} H{x2:.1f} M{x1:.1f} {middle - 3} v6 M{x2:.1f} {middle - 3} v6' stroke='{Text}' stroke-opacity='.45' fill='none'/>")
            length = max(length, min(bar.high, end * 1.05) / end * room)
        parts.append(f"<text x='{first + length + 6:.1f}' y='{y + 14}' font-size='12' fill='{Text}'{weight}>{escape(bar.text or short(bar.value))}</text>")
    return parts


def draw(path, title, panels):
    """Panels, two beside each other, into a file."""
    width = (Width - Margin * (Columns + 1)) / Columns
    parts, top = [], 48
    for index in range(0, len(panels), Columns):
        row = panels[index:index + Columns]
        for column, panel in enumerate(row):
            parts += draw_panel(panel, Margin + column * (width + Margin), top, width)
        top += max(panel.height() for panel in row) + 12
    head = (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {Width} {top}' width='{Width}' height='{top}' {Font}>\n"
            f"<title>{escape(title)}</title>\n<rect width='{Width}' height='{top}' rx='8' fill='#fff'/>\n"
            f"<text x='{Margin}' y='34' font-size='18' font-weight='700' fill='{Text}'>{escape(title)}</text>\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "\n".join(parts) + "\n</svg>\n")
