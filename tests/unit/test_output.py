"""What commands print: the bar, the marks, sizes and tables."""

from __future__ import annotations

import io
import sys

import pytest

from sysgraft.cli.output import Output, TerminalProgress, counted, human_size

CLEAR = "\r\x1b[K"


class Clock:
    """Seconds that a test moves on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


# --- Progress ------------------------------------------------------------------------------------


def bar(*, enabled: bool = True) -> tuple[TerminalProgress, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return TerminalProgress(stream, enabled=enabled, clock=clock), stream, clock


def test_a_step_below_a_second_shows_nothing() -> None:
    progress, stream, clock = bar()
    progress.start("hashing", 100)
    for _ in range(10):
        clock.now += 0.09
        progress.advance(10)
    progress.finish()
    assert stream.getvalue() == ""


def test_after_a_second_the_bar_is_drawn_and_taken_away_at_the_end() -> None:
    progress, stream, clock = bar()
    progress.start("hashing", 200)
    progress.advance(50)
    clock.now += 1.01
    progress.advance(50)
    assert stream.getvalue() == f"{CLEAR}hashing [{'#' * 15}{' ' * 15}]  50%"
    progress.finish()
    assert stream.getvalue().endswith("%" + CLEAR)


def test_the_bar_is_drawn_ten_times_a_second_at_most() -> None:
    progress, stream, clock = bar()
    progress.start("hashing", 10_000)
    clock.now += 2
    for _ in range(1000):
        clock.now += 0.001
        progress.advance(1)
    assert 9 <= stream.getvalue().count("hashing") <= 11


def test_the_second_counts_from_the_start_of_the_step() -> None:
    progress, stream, clock = bar()
    progress.start("first", 10)
    clock.now += 5
    progress.advance(10)
    progress.finish()
    drawn = stream.getvalue()
    progress.start("second", 10)
    clock.now += 0.5
    progress.advance(10)
    progress.finish()
    assert stream.getvalue() == drawn
    assert "first" in drawn


@pytest.mark.parametrize(
    ("total", "done", "shown"), [(10, 20, f"[{'#' * 30}] 100%"), (0, 5, "copying 5 B")]
)
def test_more_than_announced_is_a_full_bar(total: int, done: int, shown: str) -> None:
    progress, stream, clock = bar()
    progress.start("copying", total)
    clock.now += 2
    progress.advance(done)
    assert stream.getvalue().endswith(shown)


def test_a_bar_that_is_not_wanted_is_never_drawn() -> None:
    progress, stream, clock = bar(enabled=False)
    progress.start("hashing", 2)
    clock.now += 60
    progress.advance(1)
    progress.finish()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("stream", "quiet", "drawn"),
    [(Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)],
)
def test_only_a_terminal_gets_a_bar(
    stream: io.StringIO, quiet: bool, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    clock = Clock()
    progress = Output(quiet=quiet).progress
    monkeypatch.setattr(progress, "_clock", clock)
    progress.start("hashing", 2)
    clock.now += 60
    progress.advance(1)
    assert bool(stream.getvalue()) is drawn


# --- Marks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [("utf-8", ["✓", "✗", "–"]), ("UTF-8", ["✓", "✗", "–"]), ("ascii", ["+", "x", "-"]),  # noqa: RUF001
     ("iso-8859-1", ["+", "x", "-"])],
)  # fmt: skip
def test_marks_are_ascii_where_there_is_nothing_else(
    encoding: str, marks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    out = Output()
    assert [out.symbol(status) for status in ("ok", "fail", "skipped")] == marks
    for mark in marks:
        out.text(mark)
    stream.flush()
    assert stream.buffer.tell() > 0


def test_a_stream_without_encoding_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert Output().symbol("ok") == "+"
    assert Output().symbol("other") == "?"


# --- Text ----------------------------------------------------------------------------------------


def test_results_and_notes_go_to_their_streams(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.text("result")
    out.note("note")
    Output(quiet=True).note("unwanted")
    assert tuple(capsys.readouterr()) == ("result\n", "note\n")


def test_a_table_lines_its_columns_up(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table([("NAME", "SIZE", "NOTE"), ("a", "1000", ""), ("longer", "1", "x y")], indent=2)
    assert capsys.readouterr().out == (
        "  NAME    SIZE  NOTE\n"
        "  a       1000\n"
        "  longer  1     x y\n"
    )  # fmt: skip


def test_a_table_of_nothing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table([])
    assert capsys.readouterr().out == ""


def test_a_json_document_leads_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    Output().json("ext.inspect", 1, {"name": "größe"})
    printed = capsys.readouterr().out
    assert printed.startswith('{\n  "schema": "sysgraft.ext.inspect/1",\n')
    assert printed.isascii()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999, "1.0 MB"),
        (519_900_000, "519.9 MB"),
        (999_999_999, "1.0 GB"),
        (5 * 10**9, "5.0 GB"),
        (10**12, "1.0 TB"),
        (123 * 10**13, "1230.0 TB"),
    ],
)
def test_sizes_are_powers_of_ten_with_one_decimal(size: int, text: str) -> None:
    assert human_size(size) == text


def test_things_are_counted() -> None:
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
