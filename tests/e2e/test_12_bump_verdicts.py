"""S9, S10, S12: no trusted certificate for an invalid origin, and what happens to one instead.

    client (trusts our CA) ── gateway: bump ── origin whose certificate is expired, for others, revoked, …
"""

import os
import re
import ssl

import pytest
from bump_peers import Browser, certificate_fields
from lab import V4, run, tls_features, tls_rule

PROBLEMS = ("expired", "not_yet_valid", "self_signed", "untrusted", "name_mismatch", "revoked", "weak")


def invalid_identities(pki):
    """label -> (identity, the problems that the log names)."""
    return {
        "expired": (pki.issue("expired", start=-30, end=-1), "expired"),
        "not yet valid": (pki.issue("not yet valid", start=1, end=30), "not_yet_valid"),
        "self-signed": (pki.self_signed(), "self_signed"),
        "of an unknown root": (pki.issue("of an unknown root", issuer=pki.unknown_root), "untrusted"),
        "without its intermediate": (pki.issue("without its intermediate", issuer=pki.issue(
            "rare intermediate", name="Rare Intermediate", issuer=pki.root, ca=True), send=[]), "untrusted"),
        "for another name": (pki.issue("for another name", sans="DNS:other.example,DNS:*.www.example.com"), "name_mismatch"),
        "for no name": (pki.issue("for no name", sans=""), "name_mismatch"),  # the common name is right, and does not count
        "revoked": (pki.revoked("revoked by CRL"), "revoked"),
        "signed over SHA-1": (pki.issue("signed over SHA-1", md="sha1"), "weak"),
        "RSA 1024": (pki.issue("key RSA 1024", key="RSA 1024"), "weak"),
        "expired, for another name": (pki.issue("expired for another", sans="DNS:other.example", start=-30, end=-1),
                                      "expired,name_mismatch"),
    }


@pytest.fixture
def judged(bump, pki):
    """A gateway with a CRL, and one action for all problems (or a table of them)."""
    def make(action, **tls):
        actions = action if isinstance(action, dict) else {problem: action for problem in PROBLEMS}
        identities = invalid_identities(pki)
        daemon = bump(tls={"crl_files": [pki.crl()], "invalid_origin": actions, **tls})
        return daemon, identities
    return make


def is_ours(certificate, pki):
    """Whether a client that trusts our CA would believe it."""
    done = run("openssl", "verify", "-CAfile", pki.gateway_ca.certificate, "/dev/stdin", check=False,
               input=ssl.DER_cert_to_PEM_cert(certificate))
    return done.returncode == 0


def assert_verdict(daemon, client, expected, label, action="bump"):
    record = daemon.record_of(client if isinstance(client, int) else client.port)
    assert (label, record["origin_cert"], record["action"]) == (label, ",".join(
        p for p in ("revoked", "expired", "not_yet_valid", "self_signed", "untrusted", "name_mismatch", "weak")
        if p in expected.split(",")) if "," in expected else expected, action)
    return record


# --- S12 ------------------------------------------------------------------------------------------------------------


def test_S12_page_names_the_problem_over_a_certificate_of_ours(judged, site, visit, pki, version):
    daemon, identities = judged("page")
    for label, (identity, problems) in identities.items():
        origin = site(version, identity)
        client = visit(origin)  # it trusts our CA, and the page is ours
        page = Browser(client).get("/secret", "Accept: text/html", "Cookie: s=1")
        assert (label, page.status, page.get("cache-control")) == (label, 502, "no-store")
        for problem in problems.split(","):
            assert problem in page.body.decode(), (label, page.body)
        assert client.ending() == ("end", b""), label
        client.close()
        record = assert_verdict(daemon, client, problems, label)
        assert record["close"] == "origin_cert_invalid", label
        assert record["origin_fingerprint"] == identity.fingerprint(), label
        assert origin.plain() == b"", label
        (request,) = daemon.requests_of(client.port)
        assert (request["url"], request["status"]) == ("https://www.example.com/secret", 502), label
    assert daemon.counters()["origin_cert_invalid"] == len(identities)


def test_S12_untrusted_lets_the_client_warn(judged, site, visit, pki, version):
    """A client that checks refuses; one that goes on all the same gets the origin's answer."""
    daemon, identities = judged("untrusted")
    for label, (identity, problems) in identities.items():
        origin = site(version, identity)
        refusing = visit(origin, handshake=False)
        with pytest.raises(ssl.SSLCertVerificationError):
            refusing.handshake()
        refusing.peer.close()
        record = assert_verdict(daemon, refusing, problems, label)
        assert record["close"] == "client_rejected_certificate", label
        insistent = visit(origin, ca=None)
        certificate = insistent.certificate()
        assert not is_ours(certificate, pki) and certificate != identity.der, label
        issuer = dict(pair for part in certificate_fields(certificate)["issuer"] for pair in part)["commonName"]
        assert issuer.startswith("NOT TRUSTED"), issuer
        assert certificate_fields(certificate).get("subject") == certificate_fields(identity.der).get("subject"), label
        if problems == "name_mismatch":  # the browser is to say so, too
            assert "www.example.com" not in str(certificate_fields(certificate).get("subjectAltName", "")).replace(
                "*.www.example.com", ""), label
        assert Browser(insistent).get().status == 200, label
        insistent.close()
        assert_verdict(daemon, insistent, problems, label)


@pytest.mark.parametrize("how", ["reset", "alert"])
def test_S12_terminate_says_nothing_to_either(judged, site, visit, pki, version, how):
    daemon, identities = judged("terminate", terminate_with=how)
    for label, (identity, problems) in identities.items():
        origin = site(version, identity)
        client = visit(origin, ca=None, handshake=False)
        with pytest.raises((ConnectionResetError, ssl.SSLError)) as caught:
            client.handshake()
        assert ("ACCESS_DENIED" in str(caught.value)) == (how == "alert"), (label, caught.value)
        client.peer.close()
        record = assert_verdict(daemon, client, problems, label)
        assert (record["close"], record["close_side"]) == ("origin_cert_invalid", "origin"), label
        assert record["detail"], label
        assert origin.plain() == b"", label


def test_S12_tunnel_leaves_the_client_to_judge(judged, site, visit, pki, version):
    daemon, identities = judged("tunnel")
    for label, (identity, problems) in identities.items():
        origin = site(version, identity)
        client = visit(origin, ca=None, seclevel=0)
        assert client.certificate() == identity.der, label
        assert Browser(client).get().status == 200, label
        client.close()
        assert origin.visit(1).wire_hello == client.hello_sent, label
        record = daemon.record_of(client.port)
        assert (record["action"], record["scan"], record["reason"]) == ("tunnel", "skipped", "invalid_origin"), label


def test_S12_allow_is_the_only_way_to_a_trusted_replacement(judged, site, visit, pki, version):
    """Its dates are good, too; a name that the origin's certificate is not for is not put into ours."""
    daemon, identities = judged("allow")
    for label, (identity, problems) in identities.items():
        origin = site(version, identity)
        client = visit(origin, ca=None)
        assert is_ours(client.certificate(), pki), label
        assert Browser(client).get().status == 200, label
        client.close()
        record = assert_verdict(daemon, client, problems, label)
        assert record["close"] == "finished", label
        assert origin.requests, label


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def test_S12_by_default_the_client_warns_and_revoked_ends(bump, site, visit, pki, tls):
    daemon = bump(tls={"crl_files": [pki.crl()]})
    for label, (identity, problems) in invalid_identities(pki).items():
        client = visit(site(V4, identity, versions=(tls, tls)), handshake=False, versions=(tls, tls))
        with pytest.raises(ConnectionResetError if "revoked" in problems else ssl.SSLCertVerificationError):
            client.handshake()
        client.peer.close()
        record = assert_verdict(daemon, client, problems, label)
        assert record["close"] == ("origin_cert_invalid" if "revoked" in problems else "client_rejected_certificate"), label


def test_S12_with_several_problems_the_strictest_action_wins(judged, site, visit, pki):
    daemon, identities = judged({"expired": "allow", "name_mismatch": "terminate"})
    client = visit(site(V4, identities["expired, for another name"][0]), ca=None, handshake=False)
    with pytest.raises(ConnectionResetError):
        client.handshake()
    assert_verdict(daemon, client, "expired,name_mismatch", "both")
    assert visit(site(V4, identities["expired"][0])).certificate()


def test_S12_good_and_bad_origins_side_by_side_do_not_mix(judged, site, visit, pki, version):
    """The same certificate is good for one name and bad for another, whichever comes first and however often."""
    daemon, _ = judged("untrusted")
    origin = site(version, pki.issue("two names", sans="DNS:www.example.com,DNS:other.example"))
    for name, good in (("third.example", False), ("www.example.com", True), ("third.example", False), ("other.example", True),
                       ("www.example.com", True), ("third.example", False)):
        client = visit(origin, name=name, ca=None)
        assert is_ours(client.certificate(), pki) == good, name
        client.close()
        assert daemon.record_of(client.port)["origin_cert"] == ("ok" if good else "name_mismatch")


@pytest.mark.one_worker
def test_S12_a_resumed_session_does_not_launder_a_bad_certificate(judged, site, visit, pki):
    """On resumption no certificate comes. So nothing is resumed with an origin that is not good."""
    daemon, identities = judged("untrusted")
    for label in ("expired", "self-signed", "for another name"):
        origin = site(V4, identities[label][0])
        for number in range(3):
            client = visit(origin, ca=None)
            assert not is_ours(client.certificate(), pki), label
            assert Browser(client).get().status == 200
            client.close()
            assert daemon.record_of(client.port)["origin_cert"] == identities[label][1], label
    assert daemon.counters().get("bump_resumed_origin", 0) == 0


@pytest.mark.one_worker
@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def test_S12_an_origin_that_mends_its_certificate_is_good_on_the_next_connection(judged, site, visit, pki, tls):
    """Though it still knows its old tickets."""
    daemon, identities = judged("untrusted")
    origin = site(V4, identities["expired"][0], versions=(tls, tls))

    def verdict():
        client = visit(origin, ca=None)
        assert Browser(client).get().status == 200
        client.close()
        return daemon.record_of(client.port)["origin_cert"]
    assert [verdict(), verdict()] == ["expired", "expired"]
    origin.context.load_cert_chain(pki.site().chain, pki.site().key)  # its ticket keys stay
    assert [verdict(), verdict()] == ["ok", "ok"]
    assert daemon.counters()["bump_resumed_origin"] == 1


# --- chains ---------------------------------------------------------------------------------------------------------


def test_S12_a_missing_intermediate_can_be_configured(bump, site, visit, pki, version):
    rare = pki.issue("rare intermediate", name="Rare Intermediate", issuer=pki.root, ca=True)
    identity = pki.issue("without its intermediate", issuer=rare, send=[])
    daemon = bump(tls={"intermediates": [rare.certificate]})
    client = visit(site(version, identity))
    assert Browser(client).get().status == 200
    client.close()
    assert daemon.record_of(client.port)["origin_cert"] == "ok"


@pytest.mark.one_worker
def test_S12_a_missing_intermediate_is_remembered_from_a_good_chain(bump, site, visit, pki):
    """First refused, and from when another origin has sent it on, taken; but never on the word of a bad chain."""
    rare = pki.issue("rare intermediate", name="Rare Intermediate", issuer=pki.root, ca=True)
    lacking = pki.issue("without its intermediate", issuer=rare, send=[])
    complete = pki.issue("with it", issuer=rare)
    bad = pki.issue("with it and expired", issuer=rare, start=-9, end=-3)
    daemon = bump()

    def verdict_of(identity):
        client = visit(site(V4, identity), ca=None)
        client.close()
        return daemon.record_of(client.port)["origin_cert"]
    assert verdict_of(lacking) == "untrusted"
    assert verdict_of(bad) == "expired"
    assert verdict_of(complete) == "ok"
    another = pki.issue("without it either", issuer=rare, send=[])
    assert verdict_of(another) == "ok"


def test_S12_cross_signed_chains(bump, site, visit, pki, version):
    """The same CA certified by a root that nobody trusts and by one that we trust, in either order, with junk around."""
    bad_cross = pki.issue("cross by unknown", name="Cross CA", issuer=pki.unknown_root, ca=True)
    good_cross = pki.issue("cross by root", name="Cross CA", issuer=pki.root, ca=True, key_of=bad_cross)
    daemon = bump()
    only_bad = visit(site(version, pki.issue("cross-signed only bad", issuer=bad_cross, send=[bad_cross, pki.unknown_root])),
                     ca=None)
    assert not is_ours(only_bad.certificate(), pki)
    for label, send in (("unknown first", [bad_cross, good_cross]), ("root first", [good_cross, bad_cross]),
                        ("with the roots", [bad_cross, pki.unknown_root, good_cross, pki.root]),
                        ("with strangers", [pki.intermediate, good_cross, pki.site("other.example")])):
        client = visit(site(version, pki.issue("cross-signed " + label, issuer=good_cross, send=send)))
        assert Browser(client).get().status == 200, label
        client.close()
        assert daemon.record_of(client.port)["origin_cert"] == "ok", label


def test_S12_a_leaf_is_no_ca(bump, site, visit, pki):
    """Signed by an honest site's key: the classic basicConstraints hole."""
    honest = pki.site("honest.example")
    forged = pki.issue("forged", issuer=honest, send=[honest, pki.intermediate])
    daemon = bump()
    client = visit(site(V4, forged), ca=None)
    assert not is_ours(client.certificate(), pki)
    client.close()
    assert daemon.record_of(client.port)["origin_cert"] == "untrusted"


# --- revocation ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stapling(lab, s_server):
    """An openssl s_server that staples an OCSP response."""
    if "stapled OCSP responses" not in tls_features(lab.binary):
        pytest.skip("built with a wolfSSL that asks for no stapled responses")
    return lambda version, identity, response, *options: s_server(version, identity, "-status_file", response, *options)


@pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
def test_S12_revoked_by_its_staple(bump, visit, pki, stapling, version, tls):
    daemon = bump()
    good, revoked = pki.site(), pki.revoked("revoked by staple")
    for identity, verdict in ((good, "ok"), (revoked, "revoked")):
        client = visit(stapling(version, identity, pki.staple(identity), tls), ca=None, handshake=False)
        if verdict == "ok":
            client.handshake()
            assert is_ours(client.certificate(), pki)
            client.close()
        else:
            with pytest.raises(ConnectionResetError):
                client.handshake()
        assert daemon.record_of(client.port)["origin_cert"] == verdict


def test_S12_a_staple_about_another_certificate_proves_nothing(bump, visit, pki, stapling):
    daemon = bump()
    revoked = pki.revoked("revoked by staple")
    client = visit(stapling(V4, pki.site(), pki.staple(revoked)), ca=None)
    client.close()
    assert daemon.record_of(client.port)["origin_cert"] == "ok"
    must_staple = pki.issue("must staple", more="tlsfeature=status_request\n")
    client = visit(stapling(V4, must_staple, pki.staple(pki.site())), ca=None)
    assert not is_ours(client.certificate(), pki)


def test_S12_a_crl_at_reload(bump, site, visit, pki):
    identity = pki.revoked("revoked by CRL")
    daemon = bump()
    origin = site(V4, identity)
    assert is_ours(visit(origin).certificate(), pki)
    daemon.reload(daemon.lab.config(gateway={"http_ports": [80]}, tls={
        "default_action": "bump", "ca_cert": pki.gateway_ca.certificate, "ca_key": pki.gateway_ca.key, "system_roots": False,
        "extra_roots": [pki.root.certificate], "crl_files": [pki.crl()]}))
    client = visit(origin, handshake=False)
    with pytest.raises(ConnectionResetError):
        client.handshake()
    assert daemon.record_of(client.port)["origin_cert"] == "revoked"


# --- S10 ------------------------------------------------------------------------------------------------------------


def test_S10_a_trusted_fingerprint_makes_any_certificate_valid(judged, pki, site, visit, version):
    identities = invalid_identities(pki)
    chosen = {label: pair for label, pair in identities.items() if "name" not in label}
    with_colons = [":".join(f[i:i + 2] for i in range(0, 64, 2)).upper() for f in
                   (identity.fingerprint() for identity, _ in chosen.values())]
    daemon, _ = judged("terminate", trusted_origins=with_colons)
    for label, (identity, _) in chosen.items():
        client = visit(site(version, identity), ca=None)
        assert is_ours(client.certificate(), pki), label
        assert Browser(client).get().status == 200, label
        client.close()
        record = daemon.record_of(client.port)
        assert (record["origin_cert"], record["action"]) == ("trusted_origin", "bump"), label
    stranger = visit(site(version, pki.issue("expired too", start=-30, end=-1)), ca=None, handshake=False)
    with pytest.raises(ConnectionResetError):
        stranger.handshake()


# --- S9 -------------------------------------------------------------------------------------------------------------


# The settings that are wrong, the setting that the message points at, and the words of the fault. @NAME: see bad_ca.
BAD_CA = {
    "no CA": ({"ca_cert": None, "ca_key": None}, None, "`sluice ca init` makes one"),
    "no key": ({"ca_key": None}, "ca_cert", "tls.ca_cert without tls.ca_key"),
    "no certificate": ({"ca_cert": None}, "ca_key", "tls.ca_key without tls.ca_cert"),
    "missing certificate": ({"ca_cert": "/nonexistent/ca.pem"}, "ca_cert", "/nonexistent/ca.pem: cannot read it: No such file"),
    "missing key": ({"ca_key": "/nonexistent/ca.key"}, "ca_key", "/nonexistent/ca.key: cannot read it: No such file"),
    "not PEM": ({"ca_cert": "@junk"}, "ca_cert", "junk: no certificate in it"),
    "key not PEM": ({"ca_key": "@junk"}, "ca_key", "junk: no private key in it"),
    "encrypted key": ({"ca_key": "@encrypted.key"}, "ca_key", "the private key is encrypted"),
    "another key": ({"ca_key": "@another.key"}, "ca_key", "does not belong to 'CN=Sluice Test CA'"),
    "not a CA": ({"ca_cert": "@site", "ca_key": "@site.key"}, "ca_cert", "is not a CA"),
    "RSA 1024": ({"ca_cert": "@weak", "ca_key": "@weak.key"}, "ca_key", "the RSA key has fewer than 2,048 bits"),
    "expired": ({"ca_cert": "@old", "ca_key": "@old.key"}, "ca_cert", "'CN=Old CA' expired on "),
    "not yet valid": ({"ca_cert": "@early", "ca_key": "@early.key"}, "ca_cert", "'CN=Early CA' is not valid before "),
    "path length 0": ({"ca_cert": "@below", "ca_key": "@below.key"}, "ca_cert", "the path length of 'CN=Narrow Root' is too short"),
    "key of another user": ({"ca_key": "@foreign.key"}, "ca_key", "cannot read it: Permission denied"),
    "key for everybody": ({"ca_key": "@open.key"}, "ca_key", "everybody on this machine can read or change the private key"),
}
AS_DAEMON = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture(params=BAD_CA, ids=[kind.replace(" ", "-") for kind in BAD_CA])
def bad_ca(request, lab, pki):
    """(spoil, setting, words): spoil(config) has that fault in place of our CA. The daemon's user may read its files, and
    nobody else; but where that is the fault."""
    changes, setting, words = BAD_CA[request.param]
    narrow = pki._once("narrow", lambda label: pki._self_signed(label, "Narrow Root", "CA:true,pathlen:0"))
    authorities = {
        "site": pki.site(),
        "weak": pki.issue("weak ca", name="Weak CA", issuer=pki.root, ca=True, key="RSA 1024"),
        "old": pki.issue("old ca", name="Old CA", issuer=pki.root, ca=True, start=-30, end=-1),
        "early": pki.issue("early ca", name="Early CA", issuer=pki.root, ca=True, start=1, end=30),
        "below": pki.issue("below ca", name="Below", issuer=narrow, ca=True, send=[narrow]),
    }
    ours = pki.gateway_ca.key.read_bytes()
    content = {"junk": b"this is not PEM\n", "another.key": pki.site("other.example").key.read_bytes(),
               "foreign.key": ours, "open.key": ours,
               "encrypted.key": run("openssl", "pkey", "-in", pki.gateway_ca.key, "-aes256", "-passout", "pass:x").stdout.encode()}
    for name, authority in authorities.items():
        content |= {name: authority.chain.read_bytes(), f"{name}.key": authority.key.read_bytes()}
    folder = lab.folder / "bad-ca"
    folder.mkdir(exist_ok=True)
    for name, text in content.items():
        file = folder / name
        file.unlink(missing_ok=True)
        file.write_bytes(text)
        file.chmod({"open.key": 0o644}.get(name, 0o400))
        if name != "foreign.key":
            os.chown(file, 65534, 65534)

    def spoil(config):
        for key, value in changes.items():
            line = "" if value is None else f"{key} = \"{value.replace('@', f'{folder}/')}\"\n"
            config, count = re.subn(rf"^{key} = .*\n", line, config, flags=re.M)
            assert count == 1
        return config
    return spoil, setting, words


def assert_named(said, config, setting, words):
    """The words, at the line of the setting."""
    line = next((n for n, text in enumerate(config.splitlines(), 1) if setting and text.startswith(f"{setting} = ")), None)
    assert [m for m in re.finditer(r"rules\.toml:(\d+):\d+: error: (.*)", said)
            if words in m[2] and line in (None, int(m[1]))], (line, words, said)


def test_S9_bump_without_a_usable_ca_is_refused(lab, pki, bad_ca):
    """At check and at run, with file, place and fault."""
    spoil, setting, words = bad_ca
    path = lab.folder / "bad-ca" / "rules.toml"
    path.write_text(spoil(lab.config(tls={"default_action": "bump", "ca_cert": pki.gateway_ca.certificate,
                                          "ca_key": pki.gateway_ca.key})).replace("@LOG@", "/dev/null"))
    for command in ("check", "run"):
        done = lab.gateway.run(*AS_DAEMON, lab.binary, command, "-c", path, check=False, timeout=20)
        assert done.returncode == 1, (command, done)
        assert_named(done.stderr + done.stdout, path.read_text(), setting, words)


def test_S9_a_rule_that_bumps_needs_one_too_and_nothing_else_does(lab, tmp_path):
    path = tmp_path / "rules.toml"
    for text, code in ((lab.config(tls_rule("that", "bump", {"host": "www.example.com"})), 1),
                       (lab.config(tls_rule("that", "bump", {"host": "www.example.com"}), tls={"decrypt": False}), 0),
                       (lab.config(tls_rule("that", "terminate", {"host": "www.example.com"})), 0)):
        path.write_text(text.replace("@LOG@", "/dev/null"))
        done = lab.gateway.run(lab.binary, "check", "-c", path, check=False)
        assert done.returncode == code, done


def test_S9_a_reload_that_loses_the_ca_changes_nothing(bump, site, visit, pki, bad_ca):
    """Nor does anything else that the bad file says."""
    spoil, setting, words = bad_ca
    daemon = bump()
    origin = site(V4, pki.site())
    before = visit(origin)
    assert Browser(before).get().status == 200
    bad = spoil(daemon.config) + tls_rule("never read", "terminate")
    said = len(daemon.errors())
    daemon.reload(bad)
    assert_named(daemon.errors()[said:], bad, setting, words)
    assert Browser(before).get().status == 200
    after = visit(origin)
    assert is_ours(after.certificate(), pki)
    assert Browser(after).get().status == 200
    after.close()
    assert daemon.record_of(after.port)["tls_rule"] == "default"


def test_S18_the_key_never_shows(bump, site, visit, pki):
    """Neither in the log nor in what the daemon prints; and the daemon is not the only one who checks its file's mode."""
    daemon = bump()
    assert Browser(visit(site(V4, pki.site()))).get().status == 200
    secret = pki.gateway_ca.key.read_text().splitlines()[1][:40]
    assert secret not in daemon.errors() + daemon.stdout.read_text() + "\n".join(daemon.lines())
    assert "PRIVATE KEY" not in daemon.errors()
