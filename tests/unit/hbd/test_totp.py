import base64
import re
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest
import segno

from hbd.totp import ALPHABET, code_at, match, new_recovery_codes, new_secret, qr_svg, recovery_hash, uri

SECRET = base64.b32encode(b"12345678901234567890").decode()  # of RFC 6238, appendix B
NOW = 1_111_111_109.0
STEP = 37_037_036
CODE = "081804"
SVG = "{http://www.w3.org/2000/svg}"


# ------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_the_rfc(now, code):
    assert code_at(SECRET, now // 30) == code[2:]


def test_the_code_of_now_matches_with_its_step():
    assert match(SECRET, CODE, NOW, -1) == STEP


@pytest.mark.parametrize("off", [-1, 1])
def test_a_clock_may_be_one_step_off(off):
    assert match(SECRET, code_at(SECRET, STEP + off), NOW, -1) == STEP + off


@pytest.mark.parametrize("off", [-2, 2])
def test_a_clock_that_is_two_steps_off_does_not_do(off):
    assert match(SECRET, code_at(SECRET, STEP + off), NOW, -1) is None


def test_a_code_works_once():
    assert match(SECRET, CODE, NOW, STEP) is None


def test_a_code_older_than_the_last_one_taken_does_not_work():
    assert match(SECRET, code_at(SECRET, STEP - 1), NOW, STEP) is None


def test_the_code_after_the_last_one_taken_works():
    assert match(SECRET, code_at(SECRET, STEP + 1), NOW, STEP) == STEP + 1


def test_a_code_of_another_secret_does_not_match():
    assert match(base64.b32encode(b"x" * 20).decode(), CODE, NOW, -1) is None


@pytest.mark.parametrize("code", ["081 804", " 081804\n"])
def test_spaces_in_a_code_do_not_count(code):
    assert match(SECRET, code, NOW, -1) == STEP


@pytest.mark.parametrize("code", ["", "81804", "0818040", "08180x", "\u0660\u0668\u0661\u0668\u0660\u0664", "-81804"])
def test_what_is_not_six_digits_does_not_match(code):
    assert match(SECRET, code, NOW, -1) is None


def test_codes_match_at_the_beginning_of_time():
    assert match(SECRET, code_at(SECRET, 0), 0.0, -1) == 0


# ------------------------------------------------------------------------------------------------- secret, URI, QR code


def test_a_secret_is_160_bits_in_base32():
    assert len(base64.b32decode(new_secret())) == 20


def test_a_secret_is_new_each_time():
    assert new_secret() != new_secret()


def test_the_uri_says_all_that_an_app_needs():
    parts = urlsplit(uri(SECRET, "alice@example.org", "hbd at home"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/hbd%20at%20home:alice@example.org")
    assert parse_qs(parts.query) == {
        "secret": [SECRET],
        "issuer": ["hbd at home"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_spaces_in_the_uri_are_no_plus_signs():
    assert "+" not in uri(SECRET, "alice", "hbd at home")


def test_an_issuer_with_a_port_leaves_the_user_what_it_is():
    assert unquote(urlsplit(uri(SECRET, "alice", "hb.example.org:8443")).path) == "/hb.example.org 8443:alice"


def test_signs_that_mean_something_in_a_uri_are_escaped():
    parts = urlsplit(uri(SECRET, "alice+test", "R&D/#1?"))
    assert unquote(parts.path) == "/R&D/#1?:alice+test"
    assert parse_qs(parts.query)["issuer"] == ["R&D/#1?"]


@pytest.fixture(scope="module")
def svg():
    return qr_svg(uri(SECRET, "alice", "hbd"))


def test_the_qr_code_is_drawn_without_style_and_script(svg):
    elements = list(ElementTree.fromstring(svg).iter())
    assert {element.tag.removeprefix(SVG) for element in elements} == {"svg", "g", "path"}
    assert not any(re.match(r"style|class|on|href", name) for element in elements for name in element.attrib)


def test_the_qr_code_has_a_name_for_those_who_do_not_see_it(svg):
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "QR code for an authenticator app"


def test_the_qr_code_is_black_on_white(svg):
    light, dark = ElementTree.fromstring(svg).iter(f"{SVG}path")
    assert (light.attrib["fill"], dark.attrib["stroke"]) == ("#fff", "#000")


def test_the_qr_code_has_a_margin_of_four_modules_and_shows_the_uri(svg):
    light, dark = ElementTree.fromstring(svg).iter(f"{SVG}path")
    modules = segno.make_qr(uri(SECRET, "alice", "hbd"), error="m")
    width = modules.symbol_size(border=0)[0]
    assert light.attrib["d"].startswith(f"M0 0h{width + 8}v{width + 8}")
    assert painted(dark.attrib["d"]) == {
        (x + 4, y + 4) for y, row in enumerate(modules.matrix) for x, module in enumerate(row) if module
    }


def painted(path: str) -> set[tuple[int, int]]:
    """The modules that a path of horizontal strokes covers, as (x, y)."""
    x, y, modules = 0.0, 0.0, set()
    for command, arguments in re.findall(r"([Mmh])([-0-9. ]+)", path):
        numbers = [float(number) for number in arguments.split()]
        if command == "h":
            modules |= {(int(x) + step, int(y)) for step in range(int(numbers[0]))}
            x += numbers[0]
        elif command == "M":
            x, y = numbers
        else:
            x, y = x + numbers[0], y + numbers[1]
    return modules


# ------------------------------------------------------------------------------------------------- recovery codes


def test_there_are_ten_recovery_codes_all_different():
    assert len(set(new_recovery_codes())) == 10


def test_a_recovery_code_is_16_characters_of_5_bits_that_look_like_no_other():
    assert len(set(ALPHABET)) == 32
    assert not set(ALPHABET) & set("ilou")
    for code in new_recovery_codes():
        assert re.fullmatch(rf"[{ALPHABET}]{{4}}(-[{ALPHABET}]{{4}}){{3}}", code)


@pytest.mark.parametrize(
    "typed", ["7K3M-Q0T1-92XW-BD51", "7k3mq0t192xwbd51", " 7k3m q0t1 92xw bd51 ", "7k3m-qOtl-92xw-bd5I"]
)
def test_a_recovery_code_is_known_however_it_is_typed(typed):
    assert recovery_hash(typed) == recovery_hash("7k3m-q0t1-92xw-bd51")


def test_another_recovery_code_has_another_hash():
    assert recovery_hash("7k3m-q0t1-92xw-bd51") != recovery_hash("7k3m-q0t1-92xw-bd52")


def test_text_that_is_no_code_has_a_hash_too():
    assert len(recovery_hash("\ud83d")) == 32
