"""What the service says is said in the viewer's language; what a stranger says is quoted."""

import re
from pathlib import Path

import orjson
import pytest

from dashboard.words.book import FOLDER, words
from dashboard.words.said import said

ROOT = FOLDER.parents[1]
KNOWN = orjson.loads((FOLDER / "said.json").read_bytes())
PLACE = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        (
            "connection refused: is the server running, and is the port right?",
            "máy chủ từ chối kết nối: kiểm tra máy chủ có đang chạy và cổng có đúng không",
        ),
        (
            "the server has no namespace urn:acme:line2 any more: load its program again, or map "
            "the endpoint anew",
            "máy chủ không còn không gian tên urn:acme:line2: nạp lại chương trình, hoặc gán lại "
            "điểm kết nối",
        ),
        (
            "the server does not trust our certificate (BadCertificateUntrusted)",
            "máy chủ chưa tin cậy chứng thư số của ta (BadCertificateUntrusted)",
        ),
        (
            "not an OPC UA server, or it does not answer (no answer in time)",
            "không phải máy chủ OPC UA, hoặc không trả lời (không trả lời kịp thời)",
        ),
        (
            "given up after 3 attempts: no answer in time",
            "bỏ sau 3 lần thử: không trả lời kịp thời",
        ),
        ("smt_plc: connection refused", "smt_plc: máy chủ từ chối kết nối"),
        (
            "connection refused; Anlage steht still",
            "máy chủ từ chối kết nối; “Anlage steht still”",
        ),
        (
            "path names ép 03 (acme/main/p03); 'P' is active power; unit W, converted to kW",
            "đường dẫn có ép 03 (acme/main/p03); “P” là Công suất tác dụng; đơn vị W, đổi sang kW",
        ),
        (
            "its certificate is made for plc1, not for 10.0.0.5",
            "chứng thư số cấp cho plc1, không phải 10.0.0.5",
        ),
        (
            "-4…9 is outside the server's own range 0…5",
            "-4…9 nằm ngoài khoảng 0…5 của chính máy chủ",
        ),
        ("no asset 'acmee'", "không có thiết bị 'acmee'"),
        (
            "waiting for the server to connect to 10.0.0.7:4841 (for 12 s by now); turned away "
            "since the start: 2 BadTimeout, the last one 10.0.0.9: no ReverseHello in time; the "
            "only connection it has opened is in use: give the server a second reverse connection "
            "to this client",
            "đang chờ máy chủ kết nối tới 10.0.0.7:4841 (đã 12 giây); đã từ chối từ lúc khởi động: "
            "2 BadTimeout, gần nhất 10.0.0.9: không gửi ReverseHello kịp thời; kết nối duy nhất mà "
            "máy chủ mở đang được dùng: cho máy chủ thêm một kết nối ngược tới máy khách này",
        ),
        (
            "waiting for the server to connect to 10.0.0.7:4841; connection lost (reset)",
            "đang chờ máy chủ kết nối tới 10.0.0.7:4841; mất kết nối (reset)",
        ),
        (
            "the server has no session left (BadTooManySessions); ours: 2 of 3 sessions "
            "(subscription of process 7 since 10:00; test of process 8 since 10:05)",
            "máy chủ đã hết phiên (BadTooManySessions); của ta: 2 trên 3 phiên "
            "(đăng ký nhận của tiến trình 7 từ 10:00; kiểm tra của tiến trình 8 từ 10:05)",
        ),
        (
            "no session left: 1 of 2 sessions (crawl of process 7 since 10:00) to this server are "
            "in use",
            "hết phiên: 1 trên 2 phiên (quét của tiến trình 7 từ 10:00) tới máy chủ này đang được "
            "dùng",
        ),
        (
            "31 s were more than the server's queues hold; 3 items not filled (no history)",
            "31 giây là quá sức hàng đợi của máy chủ; 3 điểm không bù được (không có lịch sử)",
        ),
        (
            "gateway hall-2 does not read it yet: it asks every 15 s",
            "cổng thu thập hall-2 chưa đọc điểm kết nối này: nó hỏi mỗi 15 giây",
        ),
    ],
)
def test_a_text_of_ours_is_translated_whole_or_piece_by_piece(english, vietnamese):
    assert said(words("vi"), english) == vietnamese
    assert said(words("en"), english) == english


def test_a_foreign_text_stays_and_is_quoted():
    assert said(words("vi"), "the system is down") == "“the system is down”"
    assert said(words("vi"), "BadNodeIdUnknown") == "BadNodeIdUnknown"
    assert said(words("vi"), "Lizenz abgelaufen") == "“Lizenz abgelaufen”"
    assert said(words("en"), "Lizenz abgelaufen") == "Lizenz abgelaufen"
    assert said(words("vi"), "") == ""


def test_every_entry_translates_itself_and_keeps_its_places():
    for english, vietnamese in KNOWN.items():
        assert set(PLACE.findall(english)) == set(PLACE.findall(vietnamese)), english
        if not {"what", "refusal"} & set(PLACE.findall(english)):
            found = said(words("vi"), PLACE.sub("7", english))
            assert found == PLACE.sub("7", vietnamese), english


ROOMS = ("cluster", "connectors", "dashboard", "twin", "models")


def test_every_entry_is_still_said_somewhere():
    files = [p for room in ROOMS for p in walked(ROOT / room)]
    source = "\n".join(path.read_text() for path in files)
    joined = re.sub(r"""["']\s*\n?\s*f?["']""", "", source)  # neighbouring strings are one
    gone = [
        english
        for english in KNOWN
        if any(part not in joined for part in re.split(r"\{\w+\}|, ", english) if len(part) > 3)
    ]
    assert gone == []


def walked(room: Path) -> list[Path]:
    return sorted(room.rglob("*.py"))
