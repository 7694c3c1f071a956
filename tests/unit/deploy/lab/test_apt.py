"""The Debian archives that the lab uses."""

import pytest
from lablib.errors import LabError
from lablib.source.apt import Mirrors, mirrors, parse_deb822, parse_list

OS_RELEASE = 'PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\n'

DEB822 = """\
Types: deb
# a comment between two fields
URIs: http://near.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://near.test/debian-security/
Suites: bookworm-security
Components: main
"""

FOREIGN = "Types: deb\nURIs: http://other.test/\nSuites: stable\nComponents: contrib\n"


def machine(etc, **files):
    """Write an apt configuration: `main` is sources.list, `a_list` is a.list."""
    (etc / "apt/sources.list.d").mkdir(parents=True)
    (etc / "os-release").write_text(OS_RELEASE)
    for name, text in files.items():
        file = "sources.list" if name == "main" else f"sources.list.d/{name.replace('_', '.')}"
        (etc / "apt" / file).write_text(text)
    return etc


def test_deb822_sources_have_an_archive_and_a_security_archive(tmp_path):
    found = mirrors(machine(tmp_path, debian_sources=DEB822), {})
    assert found == Mirrors("http://near.test/debian", "http://near.test/debian-security")


def test_one_line_style_sources_may_have_options_and_comments(tmp_path):
    lines = (
        "# deb http://commented.test/debian bookworm main\n"
        "deb-src http://source.test/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://near.test/debian bookworm main contrib # ours\n"
    )
    assert mirrors(machine(tmp_path, main=lines), {}) == Mirrors("http://near.test/debian", None)


def test_archives_of_third_parties_are_ignored(tmp_path):
    etc = machine(tmp_path, a_sources=FOREIGN, debian_sources=DEB822)
    assert mirrors(etc, {}).archive == "http://near.test/debian"


def test_a_disabled_source_is_ignored(tmp_path):
    off = DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    with pytest.raises(LabError, match="has no Debian archive for bookworm"):
        mirrors(machine(tmp_path, debian_sources=off), {})


def test_continuation_lines_are_read():
    text = "Types: deb\nURIs:\n http://a.test/\n http://b.test/\nSuites: trixie\nComponents: main\n"
    assert [source.uri for source in parse_deb822(text)] == ["http://a.test/", "http://b.test/"]


def test_the_environment_overrides_apt(tmp_path):
    environ = {"XENGT_MIRROR": "http://mine.test/debian"}
    found = mirrors(machine(tmp_path, debian_sources=DEB822), environ)
    assert found == Mirrors("http://mine.test/debian", None)
    environ |= {"XENGT_MIRROR": "http://mine.test/", "XENGT_SECURITY_MIRROR": "http://s.test/"}
    assert mirrors(tmp_path, environ) == Mirrors("http://mine.test", "http://s.test")


def test_the_first_archive_of_a_mirror_list_is_used(tmp_path):
    (tmp_path / "list").write_text("# near\nhttp://near.test/debian/ priority:1\nhttp://far.test\n")
    lines = f"deb mirror+file:{tmp_path}/list bookworm main\n"
    assert mirrors(machine(tmp_path / "etc", main=lines), {}).archive == "http://near.test/debian"


def test_the_uri_of_a_missing_mirror_list_is_unchanged(tmp_path):
    uri = f"mirror+file:{tmp_path}/none"
    found = mirrors(machine(tmp_path, main=f"deb {uri} bookworm main\n"), {})
    assert found.archive == uri


@pytest.mark.parametrize("variable", ["XENGT_MIRROR", "XENGT_SECURITY_MIRROR"])
def test_a_mirror_that_is_not_a_uri_is_an_error(tmp_path, variable):
    with pytest.raises(LabError, match=f"{variable}=junk is not the URI of an archive"):
        mirrors(tmp_path, {variable: "junk"})


def test_sources_list_is_for_dom0s_release_with_source_packages():
    lines = Mirrors("http://a.test", "http://s.test").lines()
    assert "deb http://a.test trixie main" in lines
    assert "deb-src http://s.test trixie-security main" in lines


def test_a_line_without_components_is_read():
    assert [source.components for source in parse_list("deb file:/mnt ./\n")] == [()]
