#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes proxyd.json.5 from docs/CONFIGURATION.md, so that what a key means is written once.

    man/make_configuration_page.py >man/proxyd.json.5

Of Markdown it knows what that document uses: headings, paragraphs, lists, tables, code.
"""

import pathlib
import re
import sys

Head = r'''.\" SPDX-License-Identifier: MIT
.\" Made by make_configuration_page.py from docs/CONFIGURATION.md: change that.
.Dd November 21, 2026
.Dt PROXYD.JSON 5
.Os Linux
.Sh NAME
.Nm proxyd.json
.Nd configuration of proxyd
.Sh SYNOPSIS
.Pa /etc/proxyd/proxyd.json
.Sh DESCRIPTION
'''

Tail = r'''.Sh FILES
.Pa /etc/proxyd/proxyd.json
.Sh SEE ALSO
.Xr proxyctl 1 ,
.Xr proxyrun 1 ,
.Xr proxyd 8
.Pp
.Pa /usr/share/doc/proxyd/docs
'''


def escape(text):
    return text.replace("\\", "\\e")


def code(text):
    return "\\fB" + escape(text).replace("-", "\\-").replace('"', "\\(dq") + "\\fR"


def inline(text):
    """Code, links and emphasis; everything else is text."""
    made = []
    for part in re.split(r"(`[^`]+`)", text):
        if part.startswith("`") and len(part) > 2:
            made.append(code(part[1:-1]))
            continue
        part = escape(part).replace('"', "\\(dq")
        part = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part)
        part = re.sub(r"\*\*([^*]+)\*\*", r"\\fB\1\\fR", part)
        made.append(re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?!\w)", r"\\fI\1\\fR", part))
    return "".join(made)


def sentences(text):
    """Text lines of a page: each sentence begins one, and none looks like a request."""
    lines = re.split(r"(?<=[.:;])\s+(?=[A-Z`\\])", inline(re.sub(r"\s+", " ", text.strip())))
    return "".join(("\\&" if line[0] in ".'" else "") + line + "\n" for line in lines if line)


def cells(row):
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def item(title):
    return f'.It "{inline(title)}"\n'


def table(rows):
    header, *body = [cells(row) for row in rows if not re.fullmatch(r"[\s|:-]+", row)]
    made = ".Bl -tag -width Ds\n"
    for row in body:
        first, *rest = row
        about = []
        if header[:3] == ["key", "type", "default"]:
            about = [f"({rest[0]}; {rest[1] if rest[1] == 'required' else 'default: ' + rest[1]})"]
            rest = rest[2:]
        # Columns between the first and the last one carry their title.
        about += [f"{title}: {cell}." for title, cell in zip(header[-len(rest):-1], rest[:-1]) if cell]
        made += item(first) + "".join(sentences(text) for text in [*about, rest[-1]] if text)
    return made + ".El\n"


def blocks(text):
    """Kind and lines of each block."""
    kind, lines = None, []
    fenced = False
    for line in [*text.split("\n"), ""]:
        if line.startswith("```"):
            if fenced:
                yield "code", lines
            elif lines:
                yield kind, lines
            kind, lines, fenced = None, [], not fenced
            continue
        if fenced:
            lines.append(line)
            continue
        now = ("heading" if line.startswith("#") else "table" if line.startswith("|")
               else "code" if line.startswith("    ") and kind != "list"
               else "list" if re.match(r"[-*] ", line) else None if not line.strip() else "text")
        if kind == "list" and now == "text":
            now = "list"  # the rest of an item
        if now != kind or now == "heading":
            if lines:
                yield kind, lines
            kind, lines = now, []
        if now:
            lines.append(line)


def page(text):
    made = Head
    follows_paragraph = False  # .Pp is for between paragraphs, not after headings
    for kind, lines in blocks(text):
        if kind == "heading":
            marks, title = lines[0].split(" ", 1)
            if len(marks) > 1:
                made += f".Sh {inline(title).upper()}\n" if len(marks) == 2 else f".Ss {inline(title)}\n"
            follows_paragraph = False
            continue
        if follows_paragraph and kind == "text":
            made += ".Pp\n"
        if kind == "text":
            made += sentences(" ".join(lines))
        elif kind == "table":
            made += table(lines)
        elif kind == "code":
            indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
            made += ".Bd -literal -offset indent\n"
            made += "".join("\\&" + escape(line[indent:]) + "\n" for line in lines) + ".Ed\n"
        elif kind == "list":
            made += ".Bl -bullet\n"
            for entry in re.split(r"(?m)^[-*] ", "\n".join(lines))[1:]:
                made += ".It\n" + sentences(entry)
            made += ".El\n"
        follows_paragraph = True
    return made + Tail


if __name__ == "__main__":
    source = pathlib.Path(__file__).resolve().parent.parent / "docs" / "CONFIGURATION.md"
    sys.stdout.write(page(source.read_text()))
