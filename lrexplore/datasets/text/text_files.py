"""Lines of text files, which must be UTF-8."""

from pathlib import Path


def read_lines(path: Path) -> list[str]:
    """The lines of a file without the white space around them, empty ones too.

    FileNotFoundError without it, ValueError with the place of the first byte that is no UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"`data` must be a file with text, got no such file: {path}. Check the path.")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"`data` must be text in UTF-8, got the byte {content[error.start]:#04x} in line {line} of {path}."
            f" Convert it, as with: iconv -f latin1 -t utf-8 {path.name} > new"
        ) from None
    return [line.strip() for line in text.split("\n")][: -1 if text.endswith("\n") else None]


def read_paragraphs(path: Path) -> list[tuple[str, str]]:
    """(file, paragraph) for every paragraph of a text file, or of all files *.txt and *.md below a folder.

    A paragraph ends with an empty line. Raises ValueError where there is no text.
    """
    files = sorted(p for suffix in ("txt", "md") for p in path.rglob(f"*.{suffix}")) if path.is_dir() else [path]
    paragraphs = []
    for file in files:
        lines: list[str] = []
        for line in [*read_lines(file), ""]:
            if line:
                lines.append(line)
            elif lines:
                paragraphs.append((str(file.name), " ".join(lines)))
                lines = []
    if not paragraphs:
        where = f"{len(files)} files *.txt or *.md without any" if path.is_dir() else "an empty file"
        raise ValueError(f"`data` must hold text, got {where}: {path}. Name a text file, or a folder of them.")
    return paragraphs
